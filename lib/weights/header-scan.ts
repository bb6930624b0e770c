/**
 * One pass over the text of a safetensors header before it is parsed. It finds what `JSON.parse` does not
 * tell: names that occur twice (the last would silently win) and nesting that no header has.
 */

/** `{ tensor: { shape: [ … ] } }` */
const MAX_DEPTH = 3;

const OPENING = '{[';
const CLOSING = '}]';

/** What is wrong with the header, or `undefined`. Text that is not JSON may pass; the parser refuses it. */
export function scanHeader(text: string): string | undefined {
  if (!text.startsWith('{')) return 'its header does not start with {';
  const names = new Set<string>();
  let depth = 0;
  let lastString = '';
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '"') {
      const end = stringEnd(text, at);
      lastString = text.slice(at, end);
      at = end - 1;
    } else if (OPENING.includes(char)) {
      depth += 1;
      if (depth > MAX_DEPTH) return `its header is nested deeper than ${MAX_DEPTH} levels`;
    } else if (CLOSING.includes(char)) {
      depth -= 1;
    } else if (char === ':' && depth === 1) {
      const name = unescaped(lastString);
      if (names.has(name)) return `its header names '${name.slice(0, 120)}' twice`;
      names.add(name);
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
  for (let at = start + 1; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '\\') at += 1;
    else if (char === '"') return at + 1;
  }
  return text.length;
}
