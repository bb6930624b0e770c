/**
 * The vocabulary of CLIP's byte pair encoding, derived from the list of merges in `native/vocabulary`.
 * The order of the ids is that of openai/CLIP (`clip/simple_tokenizer.py`): 256 byte symbols, the same
 * symbols at the end of a word, one entry per merge, two special tokens.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { AnimateDiffError } from '../errors.ts';

/** Marks a symbol that ends a word. */
export const END_OF_WORD = '</w>';
/** Begins every sequence. */
export const START_TOKEN = '<|startoftext|>';
/** Ends every sequence and pads it. */
export const END_TOKEN = '<|endoftext|>';
/** Id of {@link START_TOKEN}. */
export const START_ID = 49406;
/** Id of {@link END_TOKEN}. */
export const END_ID = 49407;

/** Ids by symbol, and the merges in the order in which they apply. */
export interface Vocabulary {
  readonly ids: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
}

const MERGE_COUNT = 48894;
const MERGES_FILE = path.resolve(
  path.dirname(fileURLToPath(import.meta.url)),
  '../../native/vocabulary/clip-merges.txt.gz',
);

/** Bytes that stand for themselves; the others are written as U+0100, U+0101, … in their order. */
const PRINTABLE_RANGES = [
  [0x21, 0x7e],
  [0xa1, 0xac],
  [0xae, 0xff],
] as const;

/** One printable symbol for each byte, in the order of the ids (printable bytes first). */
function byteSymbols(): string[] {
  const printable = PRINTABLE_RANGES.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => String.fromCharCode(first + i)),
  );
  const others = Array.from({ length: 256 - printable.length }, (_, i) => String.fromCharCode(256 + i));
  return [...printable, ...others];
}

function readMerges(): [string, string][] {
  let text: string;
  try {
    text = gunzipSync(readFileSync(MERGES_FILE)).toString('utf8');
  } catch (cause) {
    throw new AnimateDiffError(
      'ERR_NATIVE_NOT_FOUND',
      `The vocabulary of this package cannot be read: ${MERGES_FILE}. Reinstall animatediff-native.`,
      { cause },
    );
  }
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const space = line.indexOf(' ');
      return [line.slice(0, space), line.slice(space + 1)];
    });
}

/**
 * Reads the merges and numbers all symbols.
 *
 * @throws ERR_NATIVE_NOT_FOUND when the file is missing or is not the one this package was built with
 */
export function readVocabulary(): Vocabulary {
  const merges = readMerges();
  const bytes = byteSymbols();
  // Without a prototype it is filled three times as fast.
  const ids: Record<string, number> = Object.create(null);
  let next = 0;
  for (const symbol of bytes) ids[symbol] = next++;
  for (const symbol of bytes) ids[symbol + END_OF_WORD] = next++;
  for (const [left, right] of merges) ids[left + right] = next++;
  if (merges.length !== MERGE_COUNT || next !== START_ID) {
    throw new AnimateDiffError(
      'ERR_NATIVE_NOT_FOUND',
      `The vocabulary of this package has ${merges.length} merges instead of ${MERGE_COUNT}. Reinstall animatediff-native.`,
    );
  }
  ids[START_TOKEN] = START_ID;
  ids[END_TOKEN] = END_ID;
  return { ids, merges };
}
