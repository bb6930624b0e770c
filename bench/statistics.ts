/** The arithmetic of the benchmark: what a list of timed values comes to, and how two sides compare. */

/** One measured value, in the unit of its measure. */
export interface Value {
  readonly value: number;
  /** Part of the machine's CPU time that other processes took meanwhile, 0 to 1. Absent where it was not taken. */
  readonly foreign?: number;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly count: number;
  /** The most that others took during one of the values. */
  readonly foreign?: number;
}

/** How many times better than a peer: the peer's value divided by ours. Above 1 is in our favour. */
export interface Ratio {
  readonly median: number;
  readonly min: number;
}

/** Middle value; between the two middle ones of an even count. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new RangeError('Expected at least one value.');
  return (lower + upper) / 2;
}

/** Undefined for a measure that was not taken. */
export function summarise(values: readonly Value[] = []): Summary | undefined {
  if (values.length === 0) return undefined;
  const numbers = values.map(({ value }) => value);
  const foreign = values.flatMap((value) => (value.foreign === undefined ? [] : [value.foreign]));
  return {
    median: median(numbers),
    min: Math.min(...numbers),
    count: numbers.length,
    ...(foreign.length > 0 && { foreign: Math.max(...foreign) }),
  };
}

/** Undefined where either side has no value, and where ours is zero. */
export function ratio(ours: Summary | undefined, peer: Summary | undefined): Ratio | undefined {
  if (ours === undefined || peer === undefined || !(ours.min > 0)) return undefined;
  return { median: peer.median / ours.median, min: peer.min / ours.min };
}
