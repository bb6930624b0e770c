/**
 * The prompt syntax of AUTOMATIC1111's web UI, as its wiki documents it (Features, “Attention/emphasis” and “BREAK
 * keyword”): `(word)` times 1.1, `((word))` times 1.21, `(word:1.3)` times 1.3, `[word]` divided by 1.1, a backslash
 * before a character that is meant literally, and `BREAK` in capitals for a new chunk. Nothing is an error: a bracket
 * that is never closed counts to the end of the prompt, one that was never opened is text.
 */

/** Text with one weight. */
export interface PromptSpan {
  readonly text: string;
  /** Factor of the embeddings of its tokens; 1 is plain. */
  readonly weight: number;
}

/** A prompt in order; `break` ends a chunk. */
export type PromptPart = PromptSpan | 'break';

const EMPHASIS = 1.1;

/** An escaped character, the weight that closes a round bracket, a bracket, or text up to the next of these. */
const PIECE = /\\(?<escaped>.?)|:\s*(?<weight>[-+]?(?:\d+\.?\d*|\.\d+))\s*\)|[()[\]]|[^\\()[\]:]+|:/gsu;
const BREAK = /\s*\bBREAK\b\s*/u;

/** Parts with the brackets that are still open at their end. */
class OpenPrompt {
  readonly #parts: PromptPart[] = [];
  /** Number of parts before each open bracket; the two kinds close independently of each other. */
  readonly #open: Readonly<Record<'(' | '[', number[]>> = { '(': [], '[': [] };

  open(bracket: '(' | '['): void {
    this.#open[bracket].push(this.#parts.length);
  }

  /** Weights everything since the last open bracket; false when none is open. */
  close(bracket: '(' | '[', factor: number): boolean {
    const start = this.#open[bracket].pop();
    if (start === undefined) return false;
    for (let i = start; i < this.#parts.length; i += 1) {
      const part = this.#parts[i];
      if (part !== undefined && part !== 'break') this.#parts[i] = { ...part, weight: part.weight * factor };
    }
    return true;
  }

  add(text: string): void {
    text.split(BREAK).forEach((piece, index) => {
      if (index > 0) this.#parts.push('break');
      this.#parts.push({ text: piece, weight: 1 });
    });
  }

  /** Closes what is open; neighbours of equal weight become one text, so that they are tokenised as one. */
  end(): PromptPart[] {
    while (this.close('(', EMPHASIS));
    while (this.close('[', 1 / EMPHASIS));
    const joined: PromptPart[] = [];
    for (const part of this.#parts) {
      const last = joined.at(-1);
      if (part === 'break' || last === undefined || last === 'break' || last.weight !== part.weight)
        joined.push(part);
      else joined[joined.length - 1] = { text: last.text + part.text, weight: part.weight };
    }
    return joined.filter((part) => part === 'break' || part.text !== '');
  }
}

/** Takes a prompt apart. The empty prompt has no parts. */
export function parsePrompt(prompt: string): readonly PromptPart[] {
  const open = new OpenPrompt();
  for (const { 0: piece, groups: { escaped, weight } = {} } of prompt.matchAll(PIECE)) {
    if (escaped !== undefined) open.add(escaped);
    else if (weight !== undefined) {
      if (!open.close('(', Number(weight))) open.add(piece);
    } else if (piece === '(' || piece === '[') open.open(piece);
    else if (piece === ')' || piece === ']') {
      const [bracket, factor] = piece === ')' ? (['(', EMPHASIS] as const) : (['[', 1 / EMPHASIS] as const);
      if (!open.close(bracket, factor)) open.add(piece);
    } else open.add(piece);
  }
  return open.end();
}
