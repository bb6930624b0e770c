/** Reads the parameters of clips back from the files that this package wrote. Needs no image library. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { AnimateDiffError } from '../errors.ts';
import type { ClipParameters } from '../options.ts';
import { commentJson, METADATA_KEY, parseMetadata, xmpJson } from './metadata.ts';
import { chunkText, isPng, readChunks } from './png-chunks.ts';

function startsWith(bytes: Buffer, text: string, at = 0): boolean {
  return bytes.toString('latin1', at, at + text.length) === text;
}

function pngJson(bytes: Buffer): string | undefined {
  for (const chunk of readChunks(bytes)) {
    const json = chunkText(chunk, METADATA_KEY);
    if (json !== undefined) return json;
  }
  return undefined;
}

/** Joined sub-blocks from `at`, and where they end. */
function readSubBlocks(bytes: Buffer, at: number): [Buffer, number] {
  const blocks: Buffer[] = [];
  let position = at;
  for (let size = bytes[position] ?? 0; size > 0; size = bytes[position] ?? 0) {
    blocks.push(bytes.subarray(position + 1, position + 1 + size));
    position += 1 + size;
  }
  return [Buffer.concat(blocks), position + 1];
}

/** Comments stand between the colour table and the first image; a damaged file just ends. */
function gifJson(bytes: Buffer): string | undefined {
  const flags = bytes[10] ?? 0;
  let at = 13 + (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  while (bytes[at] === 0x21) {
    const isComment = bytes[at + 1] === 0xfe;
    const [data, end] = readSubBlocks(bytes, at + 2);
    const json = isComment ? commentJson(data.toString('utf8')) : undefined;
    if (json !== undefined) return json;
    at = end;
  }
  return undefined;
}

function webpJson(bytes: Buffer): string | undefined {
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = bytes.readUInt32LE(at + 4);
    if (startsWith(bytes, 'XMP ', at)) return xmpJson(bytes.toString('utf8', at + 8, at + 8 + size));
    at += 8 + size + (size % 2);
  }
  return undefined;
}

/** How a file is recognised by its first bytes, and where its JSON is. */
const READERS: readonly {
  readonly is: (bytes: Buffer) => boolean;
  readonly json: (bytes: Buffer) => string | undefined;
}[] = [
  { is: isPng, json: pngJson },
  { is: (bytes) => startsWith(bytes, 'GIF8'), json: gifJson },
  { is: (bytes) => startsWith(bytes, 'RIFF') && startsWith(bytes, 'WEBP', 8), json: webpJson },
];

async function readResult(file: string): Promise<Buffer> {
  try {
    const folder = (await stat(file)).isDirectory();
    return await readFile(folder ? path.join(file, '0000.png') : file);
  } catch (cause) {
    throw new AnimateDiffError('ERR_FILE_NOT_FOUND', `Cannot read ${file}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * The parameters of every clip in a file, in the order of a grid.
 *
 * @param file a file or a folder that `save` or `saveGrid` wrote
 * @returns an empty list for files without parameters of this package
 * @throws ERR_FILE_NOT_FOUND when the file cannot be read
 */
export async function readAllMetadata(file: string): Promise<readonly ClipParameters[]> {
  const bytes = await readResult(file);
  const json = READERS.find(({ is }) => is(bytes))?.json(bytes);
  return json === undefined ? [] : parseMetadata(json);
}

/**
 * The parameters that made a clip.
 *
 * @param file a file or a folder that `save` wrote; of a grid, the first clip's parameters are returned
 * @returns undefined for files without parameters of this package
 * @throws ERR_FILE_NOT_FOUND when the file cannot be read
 */
export async function readMetadata(file: string): Promise<ClipParameters | undefined> {
  return (await readAllMetadata(file))[0];
}
