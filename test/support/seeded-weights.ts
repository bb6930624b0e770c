/**
 * Random weights that Python and TypeScript compute alike, so that no weights are committed. The value at
 * flat index i of a tensor depends on the tensor's name and on i alone, through 32-bit integer arithmetic;
 * the step to floating point is exact in float64 and is rounded to float32 once. The same functions in
 * Python are in `scripts/reference/seeded_weights.py`, which says how the spreads were chosen.
 */
import { AnimateDiffError } from '../../lib/errors.ts';

/** A value is `centre + spread · u`, u uniform in [-1, 1); by fan-in the spread is also × √(3 / fan-in). */
interface Rule {
  readonly pattern: RegExp;
  readonly centre: number;
  readonly spread: number;
  readonly byFanIn: boolean;
}

const RULES: readonly Rule[] = [
  { pattern: /norm[^.]*(\.\d+)?\.weight$/, centre: 1, spread: 0.5, byFanIn: false },
  { pattern: /\.bias$/, centre: 0, spread: 0.375, byFanIn: false },
  { pattern: /embedding\.weight$/, centre: 0, spread: 0.5, byFanIn: false },
  { pattern: /(to_[qk]|[qk]_proj)\.weight$/, centre: 0, spread: 2, byFanIn: true },
  { pattern: /^conv_out\.weight$/, centre: 0, spread: 0.25, byFanIn: true },
  { pattern: /\.weight$/, centre: 0, spread: 1, byFanIn: true },
];

const GOLDEN_RATIO = 0x9e3779b9;

/** 32-bit FNV-1a hash of the UTF-8 name, moved on for each variant of the model. */
export function nameSeed(name: string, variant = 0): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) value = Math.imul(value ^ byte, 0x01000193);
  return (value + Math.imul(variant, GOLDEN_RATIO)) >>> 0;
}

/** Finaliser of MurmurHash3 (32 bit), a bijection of the 32-bit integers. */
function mix(value: number): number {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1);
}

/**
 * The tensor with the canonical name `name` of the seeded model, row-major. Variant 0 is the base model; any
 * other non-negative integer gives a model with other weights of the same distribution.
 */
export function seededTensor(name: string, shape: readonly number[], variant = 0): Float32Array {
  const rule = RULES.find(({ pattern }) => pattern.test(name));
  if (rule === undefined) {
    throw new AnimateDiffError(
      'ERR_INVALID_ARGUMENT',
      `No rule for a tensor named '${name}'; add one to RULES in seeded-weights.ts and seeded_weights.py.`,
    );
  }
  const { centre } = rule;
  const spread = rule.byFanIn ? rule.spread * Math.sqrt(3 / elementCount(shape.slice(1))) : rule.spread;
  const seed = nameSeed(name, variant);
  const values = new Float32Array(elementCount(shape));
  for (let index = 0; index < values.length; index += 1) {
    const uniform = (mix(mix(index) ^ seed) >>> 0) / 2 ** 31 - 1;
    values[index] = centre + spread * uniform;
  }
  return values;
}
