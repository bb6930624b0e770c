/** Random numbers that a seed repeats: xorshift32 (Marsaglia, “Xorshift RNGs”, 2003). */

export class Random {
  #state: number;

  /** Any integer; equal seeds give equal sequences. */
  constructor(seed: number) {
    // Zero is the one state that the generator never leaves.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0 || 1;
  }

  /** An integer from 0 to `count` - 1. */
  below(count: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state % count;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }
}
