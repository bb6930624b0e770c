/** Names for files from prompts. */

const MAX_WORDS = 10;
/** Leaves room for an index, an extension and a suffix below the 255 bytes of most file systems. */
const MAX_BYTES = 120;
/** Separators, characters that Windows forbids, quotes and brackets that shells and globs interpret, control and format characters. */
const UNSAFE = /[\\/:*?"<>|'`$&;!#%(){}[\]~^=@,\p{Cc}\p{Cf}\p{Co}\p{Cs}\ufffd]+/gu;
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)$/i;

function cutToBytes(text: string, limit: number): string {
  let bytes = 0;
  let kept = '';
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > limit) break;
    kept += character;
  }
  return kept;
}

/**
 * A file name without extension: the first ten words of a prompt joined by `-` (as mmagic's demo script
 * names its clips), without characters that are special anywhere, at most 120 bytes of UTF-8.
 * A prompt that leaves nothing gives `clip`.
 */
export function slug(prompt: string): string {
  const words = prompt
    .normalize('NFC')
    .replace(UNSAFE, ' ')
    .split(/\s+/u)
    .filter((word) => word !== '')
    .slice(0, MAX_WORDS);
  const name = cutToBytes(words.join('-'), MAX_BYTES).replace(/^[-.\s]+|[-.\s]+$/gu, '');
  if (name === '') return 'clip';
  return RESERVED.test(name.split('.')[0] as string) ? `clip-${name}` : name;
}
