/**
 * What every reader owes to every file, however broken: an answer, or an error with a code that names the file
 * and the way out, within a bound of time and memory.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { AnimateDiffError, type ErrorCode } from '../../../lib/errors.ts';
import { type InspectReport, inspectPath } from '../../../lib/weights/identify.ts';

/** Most time of the processor for one file, in ms: a few times what the largest takes. */
export const TIME_LIMIT = 20_000;
/** Time of the clock in ms after which a reader counts as waiting for something that never comes. */
const WAIT_LIMIT = 120_000;
/** Most growth of the process's peak memory over one file, in bytes. */
export const MEMORY_LIMIT = 700 << 20;

/** Codes that a file which cannot be read may give. */
export const READER_CODES: readonly ErrorCode[] = [
  'ERR_FILE_NOT_FOUND',
  'ERR_FILE_CORRUPT',
  'ERR_FILE_FORMAT',
  'ERR_PICKLE',
];

const peakMemory = () => process.resourceUsage().maxRSS * 1024;

/** Inspects a file or folder and checks the contract. Returns the report or the error. */
export async function answer(file: string, context = ''): Promise<InspectReport | AnimateDiffError> {
  const [start, peak] = [process.cpuUsage(), peakMemory()];
  const waited = sleep(WAIT_LIMIT, undefined, { ref: false }).then(() => {
    throw new Error(`no answer after ${WAIT_LIMIT} ms`);
  });
  const found = await Promise.race([inspectPath(file), waited]).catch((error: unknown) => {
    assert.ok(error instanceof AnimateDiffError, `${context} not an AnimateDiffError: ${error}`);
    return error;
  });
  const grown = peakMemory() - peak;
  const { user, system } = process.cpuUsage(start);
  const elapsed = (user + system) / 1000;
  assert.ok(elapsed < TIME_LIMIT, `${context} took ${Math.round(elapsed)} ms`);
  assert.ok(grown < MEMORY_LIMIT, `${context} took ${grown >> 20} MiB`);
  if (found instanceof AnimateDiffError) checkSentence(found, file, context);
  return found;
}

/** Expects that a file is refused with one of the codes, by a sentence that matches. */
export async function refuses(
  file: string,
  codes: ErrorCode | readonly ErrorCode[],
  pattern: RegExp,
  context = '',
): Promise<void> {
  const found = await answer(file, context);
  assert.ok(
    found instanceof AnimateDiffError,
    `${context} was read as ${JSON.stringify(found).slice(0, 200)}`,
  );
  assert.ok([codes].flat().includes(found.code), `${context} ${found.code}: ${found.message}`);
  assert.match(found.message, pattern, context);
}

function checkSentence({ code, message }: AnimateDiffError, file: string, context: string): void {
  assert.ok(READER_CODES.includes(code), `${context} ${code}: ${message}`);
  assert.ok(message.includes(file), `${context} does not name the file: ${message}`);
  assert.match(message, /(Download|Use|Give|Convert|Load|Check|Save|Unpack|Run|Bake|If) [\s\S]*\.$/, context);
  assert.ok(message.length < file.length * 2 + 1000, `${context} is ${message.length} characters long`);
  assert.doesNotMatch(message, /\p{Cc}|\p{Cs}/u, `${context} has control characters`);
}
