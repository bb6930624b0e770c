/** Arithmetic on tensor shapes that stays exact: products beyond 2^53 are refused instead of rounded. */
import { DTYPE_BYTES, type Recipe, type TensorSource } from './types.ts';

/** Torch reduces over 64 axes at most (ATen/WrapDimUtilsMulti.h, `dim_bitset_size`). */
export const MAX_AXES = 64;

const SHOWN_AXES = 8;

/**
 * Number of elements, or `undefined` when there are over 64 axes, a size is no non-negative integer, or the
 * product is not exact.
 */
export function elementCount(shape: readonly number[]): number | undefined {
  if (shape.length > MAX_AXES) return undefined;
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) return undefined;
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/** Bytes of a tensor's elements, for a source that a reader has checked. */
export function tensorBytes(source: Pick<TensorSource, 'shape' | 'dtype'>): number {
  return (elementCount(source.shape) ?? 0) * DTYPE_BYTES[source.dtype];
}

/** Bytes that the engine reads for a recipe, from all files. */
export function recipeBytes(recipe: Recipe): number {
  const { terms = [], appended = [] } = recipe.kind === 'copy' ? recipe : {};
  const factors = terms.flatMap(({ factors, alpha, magnitude }) => [...factors, alpha, magnitude?.source]);
  return [recipe.source, ...factors, ...appended].reduce(
    (sum, source) => sum + (source ? tensorBytes(source) : 0),
    0,
  );
}

/** `[320, 4, 3, 3]`; of long shapes the first eight sizes. */
export function shapeText(shape: readonly number[]): string {
  const more = shape.length > SHOWN_AXES ? ', …' : '';
  return `[${shape.slice(0, SHOWN_AXES).join(', ')}${more}]`;
}

/** True when two shapes differ at most in trailing ones: a linear layer and a 1×1 convolution. */
export function sameUpToTrailingOnes(a: readonly number[], b: readonly number[]): boolean {
  const [left, right] = [withoutTrailingOnes(a), withoutTrailingOnes(b)];
  return left.length === right.length && left.every((size, axis) => size === right[axis]);
}

function withoutTrailingOnes(shape: readonly number[]): readonly number[] {
  let length = shape.length;
  while (length > 0 && shape[length - 1] === 1) length -= 1;
  return shape.slice(0, length);
}
