/** All texts of a call as the engine takes them: both sides with the same number of chunks, and what users should know. */

import type { Notice } from '../events.ts';
import type { NativePrompts } from '../native.ts';
import type { PromptSyntax } from '../options.ts';
import { chunkTokens, cutTokens, EMPTY_CHUNK, type PromptChunk } from './chunks.ts';
import { promptNotices } from './notices.ts';
import { createTokenizer, PROMPT_LENGTH, SEQUENCE_LENGTH, type Tokenizer } from './tokenizer.ts';
import { type EmbeddingTrigger, promptTokens } from './tokens.ts';
import type { ScheduledTexts } from './travel.ts';

/** How prompts are read. */
export interface PromptReading {
  readonly syntax: PromptSyntax;
  /** Those of the pipeline. */
  readonly embeddings: readonly EmbeddingTrigger[];
}

/** The part of the engine's request that is about text. */
export interface EncodedPrompts {
  readonly native: {
    readonly prompts: NativePrompts;
    readonly negatives: NativePrompts;
    readonly chunks: number;
    readonly tokens: number;
  };
  readonly notices: readonly Notice[];
}

function truncated(name: string, text: string, { embeddings }: PromptReading, tokenizer: Tokenizer) {
  const tokens = promptTokens(text, 'plain', embeddings, tokenizer);
  const { chunk, dropped } = cutTokens(tokens);
  if (dropped.length === 0) return { chunk };
  const count = tokens.reduce((sum, token) => sum + (token === 'break' ? 0 : token.ids.length), 0);
  const lost = tokenizer.decode(dropped.flatMap((token) => token.text));
  const message = `The ${name} has ${count} tokens, ${PROMPT_LENGTH} fit; this was dropped: ${lost}`;
  return { chunk, notice: { code: 'prompt-truncated', message } };
}

/** Chunks of every text. `notices` gets one for each text that was cut, and for each name or syntax without effect. */
function chunkTexts(name: string, texts: readonly string[], reading: PromptReading, notices: Notice[]) {
  const tokenizer = createTokenizer();
  const known = new Map<string, readonly PromptChunk[]>();
  return texts.map((text) => {
    const seen = known.get(text);
    if (seen !== undefined) return seen;
    notices.push(...promptNotices(text, reading));
    const { syntax, embeddings } = reading;
    if (syntax === 'weighted') {
      known.set(text, chunkTokens(promptTokens(text, syntax, embeddings, tokenizer)));
    } else {
      const { chunk, notice } = truncated(name, text, reading, tokenizer);
      if (notice !== undefined) notices.push(notice);
      known.set(text, [chunk]);
    }
    return known.get(text) as readonly PromptChunk[];
  });
}

/** Row-major ids and weights of texts that are padded with empty chunks to the same number. */
function table(
  texts: readonly (readonly PromptChunk[])[],
  chunks: number,
  frames: ScheduledTexts['frames'],
): NativePrompts {
  const ids = new Int32Array(texts.length * chunks * SEQUENCE_LENGTH);
  const weights = new Float32Array(ids.length);
  texts.forEach((text, row) => {
    for (let index = 0; index < chunks; index += 1) {
      const chunk = text[index] ?? EMPTY_CHUNK;
      const start = (row * chunks + index) * SEQUENCE_LENGTH;
      ids.set(chunk.ids, start);
      weights.set(chunk.weights, start);
    }
  });
  const weighted = weights.some((weight) => weight !== 1);
  return { ids, texts: texts.length, ...(weighted && { weights }), ...(frames && { frames }) };
}

/**
 * Tokenises the texts of both sides of the guidance. `guided` false: nothing is said about the negative ones, which
 * have no effect then.
 */
export function encodePrompts(
  prompts: ScheduledTexts,
  negatives: ScheduledTexts,
  reading: PromptReading,
  guided: boolean,
): EncodedPrompts {
  const notices: Notice[] = [];
  const positive = chunkTexts('prompt', prompts.texts, reading, notices);
  const negative = chunkTexts('negative prompt', negatives.texts, reading, guided ? notices : []);
  const chunks = Math.max(...[...positive, ...(guided ? negative : [])].map((text) => text.length));
  const unique = new Map(notices.map((notice) => [`${notice.code} ${notice.message}`, notice]));
  return {
    native: {
      prompts: table(positive, chunks, prompts.frames),
      negatives: table(negative, chunks, negatives.frames),
      chunks,
      tokens: SEQUENCE_LENGTH,
    },
    notices: [...unique.values()],
  };
}
