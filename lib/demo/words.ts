/** Which words the demo model knows: it was trained on captions of a small grammar and on nothing else. */
import { BACKGROUNDS, COLOURS, JOINING_WORDS, MOTIONS, SHAPES } from './vocabulary.ts';

const TABLES = [SHAPES, COLOURS, MOTIONS, BACKGROUNDS];

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu) ?? [];
}

const plainest = (wordings: Readonly<Record<string, readonly string[]>>): string =>
  Object.values(wordings)
    .map(([first = '']) => first)
    .join(', ');

/** The vocabulary in four lines: the plainest wording of everything that a clip can show. */
export function vocabularyText(): string {
  return [
    `  Shapes:      ${plainest(SHAPES)}`,
    `  Colours:     ${plainest(COLOURS)}`,
    `  Motions:     ${plainest(MOTIONS)}`,
    `  Backgrounds: ${plainest(BACKGROUNDS)}`,
  ].join('\n');
}

/** Words of a prompt that occur in no caption of the training data, each once, in lower case. */
export function unknownWords(prompt: string): string[] {
  const wordings = TABLES.flatMap((table) => Object.values(table).flat());
  const known = new Set([...JOINING_WORDS, ...wordings.flatMap(wordsOf)]);
  return [...new Set(wordsOf(prompt))].filter((word) => !known.has(word));
}
