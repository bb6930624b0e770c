/** PNG as a list of chunks (PNG specification, third edition, §5), and the chunks that hold text (§11.3.3). */
import { crc32 } from 'node:zlib';

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** One chunk: four letters and its data. */
export interface PngChunk {
  readonly type: string;
  readonly data: Uint8Array;
}

/** True for the bytes of a PNG or APNG. */
export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/** The chunks of a PNG; ends quietly where a damaged file ends. */
export function* readChunks(png: Uint8Array): Generator<PngChunk> {
  const view = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
  let at = SIGNATURE.length;
  while (at + 12 <= view.length) {
    const end = at + 8 + view.readUInt32BE(at);
    if (end + 4 > view.length) return;
    yield { type: view.toString('latin1', at + 4, at + 8), data: view.subarray(at + 8, end) };
    at = end + 4;
  }
}

/** Length, type, data and checksum of one chunk. */
function chunkBytes({ type, data }: PngChunk): Uint8Array {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

/** A PNG file of these chunks. */
export function writePng(chunks: Iterable<PngChunk>): Uint8Array {
  return Buffer.concat([SIGNATURE, ...Array.from(chunks, chunkBytes)]);
}

/** `tEXt` for ASCII, which every tool reads alike, else `iTXt` (UTF-8, not compressed). */
export function textChunk(keyword: string, text: string): PngChunk {
  return /^[\n\x20-\x7e]*$/.test(text)
    ? { type: 'tEXt', data: Buffer.from(`${keyword}\0${text}`, 'latin1') }
    : { type: 'iTXt', data: Buffer.from(`${keyword}\0\0\0\0\0${text}`, 'utf8') };
}

/** The text of a chunk with this keyword; undefined for others and for compressed text. */
export function chunkText({ type, data }: PngChunk, keyword: string): string | undefined {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.indexOf(0) !== keyword.length || bytes.toString('latin1', 0, keyword.length) !== keyword)
    return undefined;
  const after = keyword.length + 1;
  if (type === 'tEXt') return bytes.toString('latin1', after);
  if (type !== 'iTXt' || bytes[after] !== 0) return undefined;
  const language = bytes.indexOf(0, after + 2);
  const translated = language < 0 ? -1 : bytes.indexOf(0, language + 1);
  return translated < 0 ? undefined : bytes.toString('utf8', translated + 1);
}
