/** Compares with a reference, prints the error that was measured, and fails above the tolerance. */
import assert from 'node:assert/strict';
import { TEST_DEVICE } from './engine.ts';
import { maxAbsError } from './load-fixture.ts';

/** float32 on CUDA is held to this everywhere: its reductions have another order. */
const CUDA_TOLERANCE = 1e-3;

export function assertClose(
  label: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  const limit = TEST_DEVICE === 'cuda' ? Math.max(tolerance, CUDA_TOLERANCE) : tolerance;
  const error = maxAbsError(actual, expected);
  console.log(`${label}: max abs error ${error.toExponential(2)} (limit ${limit.toExponential(0)})`);
  assert.ok(error <= limit, `${label}: max abs error ${error} is above ${limit}`);
}
