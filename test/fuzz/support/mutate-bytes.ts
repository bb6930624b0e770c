/** Mutations that know nothing of a format: bits, bytes, integers, blocks, and words of a dictionary. */
import type { Random } from './random.ts';

/** Changes an input. `other` is another input of the same kind, to take a part from. */
export type Mutation = (input: Buffer, random: Random, other: Buffer) => Buffer;

/** Larger inputs are slow and find nothing that smaller ones do not. */
export const MAX_INPUT_BYTES = 1 << 16;

/** Ends of the ranges of integers, where readers go wrong. */
const INTERESTING = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn];
const INTERESTING_64 = [...INTERESTING, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
const NUMBERS = ['0', '-1', '1', '255', '65536', '4294967296', '9007199254740993', '1e400', '-0', '0.5'];

const splice = (input: Buffer, at: number, removed: number, inserted: Buffer): Buffer =>
  Buffer.concat([input.subarray(0, at), inserted, input.subarray(at + removed)]);

const flipBit: Mutation = (input, random) => {
  const changed = Buffer.from(input);
  const at = random.below(changed.length);
  changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
  return changed;
};

const setByte: Mutation = (input, random) => {
  const changed = Buffer.from(input);
  changed[random.below(changed.length)] = random.below(256);
  return changed;
};

const setInteger: Mutation = (input, random) => {
  const bytes = random.pick([1, 2, 4, 8]);
  if (input.length < bytes) return input;
  const value = Buffer.alloc(8);
  value.writeBigUInt64LE(random.pick(INTERESTING_64));
  return splice(input, random.below(input.length - bytes + 1), bytes, value.subarray(0, bytes));
};

const removeBlock: Mutation = (input, random) => {
  const length = 1 + random.below(Math.min(input.length, 64));
  return splice(input, random.below(input.length), length, Buffer.alloc(0));
};

const repeatBlock: Mutation = (input, random) => {
  const at = random.below(input.length);
  const block = input.subarray(at, at + 1 + random.below(64));
  return splice(input, at, 0, Buffer.concat(Array<Buffer>(1 + random.below(8)).fill(block)));
};

const cut: Mutation = (input, random) => input.subarray(0, random.below(input.length));

const cross: Mutation = (input, random, other) =>
  Buffer.concat([input.subarray(0, random.below(input.length)), other.subarray(random.below(other.length))]);

/** Replaces a run of digits by a number of another kind. */
const replaceNumber: Mutation = (input, random) => {
  const found = [...input.toString('latin1').matchAll(/\d+/g)];
  if (found.length === 0) return input;
  const { index, 0: digits } = random.pick(found);
  return splice(input, index, digits.length, Buffer.from(random.pick(NUMBERS)));
};

/** Puts a word of a dictionary somewhere, or in the place of as many bytes. */
export const insertWord =
  (words: readonly (string | Buffer)[]): Mutation =>
  (input, random) => {
    const word = random.pick(words);
    const bytes = typeof word === 'string' ? Buffer.from(word, 'latin1') : word;
    return splice(input, random.below(input.length), random.pick([0, bytes.length]), bytes);
  };

export const BYTE_MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setInteger,
  removeBlock,
  repeatBlock,
  cut,
  cross,
  replaceNumber,
];
