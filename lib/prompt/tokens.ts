/** From the text of a prompt to its tokens, with their weights and with the vectors of textual inversions in place. */
import type { PromptSyntax } from '../options.ts';
import { parsePrompt } from './syntax.ts';
import type { Tokenizer } from './tokenizer.ts';

/** A textual inversion as prompts see it. */
export interface EmbeddingTrigger {
  /** Words that stand for it, in any case. */
  readonly triggers: readonly string[];
  /** Ids of its vectors in the table of the text encoder. */
  readonly ids: readonly number[];
}

/** One token, or all vectors of a textual inversion: what is never torn apart. */
export interface PromptToken {
  readonly ids: readonly number[];
  readonly weight: number;
  /** Ids of the text that it was written as. */
  readonly text: readonly number[];
}

/** The tokens of a prompt in order; `break` ends a chunk. */
export type PromptTokens = readonly (PromptToken | 'break')[];

interface Pattern {
  readonly text: readonly number[];
  readonly ids: readonly number[];
}

/** The tokens of all triggers, the longest first: of two that begin alike, the longer one is meant. */
function patterns(embeddings: readonly EmbeddingTrigger[], tokenizer: Tokenizer): readonly Pattern[] {
  return embeddings
    .flatMap(({ triggers, ids }) => triggers.map((trigger) => ({ text: tokenizer.encode(trigger), ids })))
    .filter(({ text }) => text.length > 0)
    .sort((a, b) => b.text.length - a.text.length);
}

/** Triggers are found in the tokens and not in the text, as the web UI does it: so any case matches, and no part of a word. */
function withEmbeddings(ids: readonly number[], weight: number, known: readonly Pattern[]): PromptToken[] {
  const tokens: PromptToken[] = [];
  for (let at = 0; at < ids.length; ) {
    const found = known.find(({ text }) => text.every((id, offset) => ids[at + offset] === id));
    const text = found?.text ?? ids.slice(at, at + 1);
    tokens.push({ ids: found?.ids ?? text, weight, text });
    at += text.length;
  }
  return tokens;
}

/** The tokens of a prompt. In `plain` syntax all of it is text, of weight 1. */
export function promptTokens(
  prompt: string,
  syntax: PromptSyntax,
  embeddings: readonly EmbeddingTrigger[],
  tokenizer: Tokenizer,
): PromptTokens {
  const known = patterns(embeddings, tokenizer);
  if (syntax === 'plain') return withEmbeddings(tokenizer.encode(prompt), 1, known);
  return parsePrompt(prompt).flatMap((part): (PromptToken | 'break')[] =>
    part === 'break' ? [part] : withEmbeddings(tokenizer.encode(part.text), part.weight, known),
  );
}
