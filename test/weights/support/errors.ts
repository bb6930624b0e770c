/** Expectations about errors: their class, code and sentence. */
import assert from 'node:assert/strict';
import { AnimateDiffError, type ErrorCode } from '../../../lib/errors.ts';

/** Expects a rejection with one of the codes, and a message that matches the pattern. */
export async function rejects(
  work: Promise<unknown>,
  codes: ErrorCode | readonly ErrorCode[],
  pattern: RegExp = /./,
  context = '',
): Promise<AnimateDiffError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof AnimateDiffError, `${context} expected an AnimateDiffError, got ${error}`);
  assert.ok([codes].flat().includes(error.code), `${context} ${error.code}: ${error.message}`);
  assert.match(error.message, pattern);
  return error;
}
