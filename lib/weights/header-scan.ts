/**
 * One pass over the text of a safetensors header before it is parsed. It finds what `JSON.parse` does not
 * tell: keys that occur twice (the last would silently win) and nesting that no header has.
 */
import { seen } from '../errors.ts';

/** `{ tensor: { shape: [ … ] } }` */
const MAX_DEPTH = 3;

const [QUOTE, BACKSLASH, COLON] = [0x22, 0x5c, 0x3a];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

/** What is wrong with the header, or `undefined`. Text that is not JSON may pass; the parser refuses it. */
export function scanHeader(text: string): string | undefined {
  if (!text.startsWith('{')) return 'its header does not start with {';
  /** Keys so far of each object that is open, the outermost first; of arrays none. */
  const keys: Set<string>[] = [];
  let lastString = '';
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = stringEnd(text, at);
        lastString = text.slice(at, end);
        at = end - 1;
        break;
      }
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (keys.length === MAX_DEPTH) return `its header is nested deeper than ${MAX_DEPTH} levels`;
        keys.push(new Set());
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        keys.pop();
        break;
      case COLON: {
        const key = unescaped(lastString);
        if (keys.at(-1)?.has(key)) return `its header names ${seen(key)} twice`;
        keys.at(-1)?.add(key);
        break;
      }
    }
  }
  return undefined;
}

/** The text of a JSON string; of a broken one its source, which the parser will refuse. */
function unescaped(source: string): string {
  if (!source.includes('\\')) return source.slice(1, -1);
  try {
    return JSON.parse(source) as string;
  } catch {
    return source;
  }
}

/** Index after the closing quote of the string that starts at `start`, or the end of the text. */
function stringEnd(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end + 1;
}

/** True when an odd number of backslashes stands before a character. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === BACKSLASH) first -= 1;
  return (at - first) % 2 === 1;
}
