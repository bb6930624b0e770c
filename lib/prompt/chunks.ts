/**
 * Tokens to the sequences of 77 that the text encoder takes: cut after the first 75 tokens (`plain`), or in chunks of
 * 75 that each have a start and an end token of their own, as AUTOMATIC1111's web UI does it. A chunk that is full ends
 * after its last comma when that is among the last 20 tokens (the default of its setting “Increase coherency by padding
 * from the last comma within n tokens”), so that phrases stay whole.
 */
import { PROMPT_LENGTH, SEQUENCE_LENGTH } from './tokenizer.ts';
import type { PromptToken, PromptTokens } from './tokens.ts';
import { END_ID, START_ID } from './vocabulary.ts';

/** One sequence of the text encoder. */
export interface PromptChunk {
  /** [77]: start token, up to 75 tokens, end token, and the end token as padding. */
  readonly ids: Int32Array;
  /** [77]: 1 for all but the tokens of the prompt. */
  readonly weights: Float32Array;
}

const COMMA_ID = 267;
const COMMA_REACH = 20;

type Tokens = readonly PromptToken[];

function length(tokens: Tokens): number {
  return tokens.reduce((sum, { ids }) => sum + ids.length, 0);
}

function isComma({ ids }: PromptToken): boolean {
  return ids.length === 1 && ids[0] === COMMA_ID;
}

/** What moves from a full chunk to the next one, before `next`. Embeddings and commas just begin the next one. */
function carriedOver(chunk: Tokens, next: PromptToken): Tokens {
  if (next.ids.length > 1 || isComma(next)) return [];
  const comma = chunk.findLastIndex(isComma);
  return comma >= 0 && length(chunk.slice(comma)) <= COMMA_REACH ? chunk.slice(comma + 1) : [];
}

function sequence(tokens: Tokens): PromptChunk {
  const ids = new Int32Array(SEQUENCE_LENGTH).fill(END_ID);
  const weights = new Float32Array(SEQUENCE_LENGTH).fill(1);
  ids[0] = START_ID;
  ids.set(
    tokens.flatMap((token) => token.ids),
    1,
  );
  weights.set(
    tokens.flatMap((token) => token.ids.map(() => token.weight)),
    1,
  );
  return { ids, weights };
}

/** The chunk of an empty prompt. */
export const EMPTY_CHUNK: PromptChunk = sequence([]);

/** All tokens in chunks of at most 75; at least one chunk. */
export function chunkTokens(tokens: PromptTokens): readonly PromptChunk[] {
  const chunks: Tokens[] = [];
  let chunk: Tokens = [];
  for (const token of tokens) {
    if (token === 'break') {
      chunks.push(chunk);
      chunk = [];
      continue;
    }
    if (length(chunk) + token.ids.length > PROMPT_LENGTH) {
      const carried = carriedOver(chunk, token);
      chunks.push(chunk.slice(0, chunk.length - carried.length));
      chunk = carried;
    }
    chunk = [...chunk, token];
  }
  if (chunk.length > 0 || chunks.length === 0) chunks.push(chunk);
  return chunks.map(sequence);
}

/** The first 75 tokens as one chunk, and those that did not fit. */
export function cutTokens(tokens: PromptTokens): { readonly chunk: PromptChunk; readonly dropped: Tokens } {
  const all = tokens.filter((token) => token !== 'break');
  let end = 0;
  for (let used = 0; end < all.length; end += 1) {
    used += all[end]?.ids.length ?? 0;
    if (used > PROMPT_LENGTH) break;
  }
  return { chunk: sequence(all.slice(0, end)), dropped: all.slice(end) };
}
