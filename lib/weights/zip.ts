/**
 * Where the entries of a zip archive lie in the file. Entries are never extracted: the tensors of a torch
 * checkpoint are stored uncompressed, and the engine maps them in place. ZIP64 archives are read too.
 */
import * as yauzl from 'yauzl';
import { AnimateDiffError, seen } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { corruptFile, unreadableFormat } from './file-errors.ts';

/** A checkpoint has one entry per storage, a few thousand at most. Each takes about 1.5 KB of memory. */
const MAX_ENTRIES = 131_072;
/** Text of all names, extra fields and comments together. */
const MAX_DIRECTORY_BYTES = 64 << 20;
const STORED = 0;
/** How much of a directory is read at once: its records have some 50 to 200 bytes. */
const WINDOW_BYTES = 64 << 10;
const MAX_REASON = 200;

export interface ZipArchive {
  /** Names of all entries. */
  readonly names: readonly string[];
  /** Size of an entry in bytes, or `undefined` when there is none of this name. */
  size(name: string): number | undefined;
  /**
   * Offset in the file of the first byte of an entry. Throws ERR_FILE_FORMAT when the entry is compressed or
   * encrypted, ERR_FILE_CORRUPT when it is missing or leaves the file.
   */
  dataStart(name: string): Promise<number>;
}

/** Reads the directory of an archive, then runs `use`. Throws ERR_FILE_CORRUPT when it is damaged. */
export async function withZip<T>(bytes: ByteSource, use: (archive: ZipArchive) => Promise<T>): Promise<T> {
  const file = bytes.path;
  const zip = await wrapErrors(file, () =>
    yauzl.fromRandomAccessReaderPromise(new SourceReader(bytes), bytes.size, {
      autoClose: false,
      validateEntrySizes: false,
    }),
  );
  try {
    const entries = await wrapErrors(file, () => readDirectory(file, zip));
    return await use({
      names: [...entries.keys()],
      size: (name) => entries.get(name)?.uncompressedSize,
      dataStart: (name) => wrapErrors(file, () => locate(file, zip, name, entries.get(name))),
    });
  } finally {
    zip.close();
  }
}

/** Every read is checked against the file, so that an offset of a damaged directory is an error, not a crash. */
class SourceReader extends yauzl.RandomAccessReader {
  readonly #bytes: ByteSource;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;

  constructor(bytes: ByteSource) {
    super();
    this.#bytes = bytes;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#range(position, length).then((range) => {
      range.copy(buffer, offset);
      callback(null);
    }, callback);
  }

  /** The records of a directory are read one after the other; one read of the file serves many. */
  async #range(position: number, length: number): Promise<Buffer> {
    const start = position - this.#windowStart;
    if (start >= 0 && start + length <= this.#window.length)
      return this.#window.subarray(start, start + length);
    const rest = this.#bytes.size - position;
    if (!(length < WINDOW_BYTES && length <= rest)) return this.#bytes.read(position, length);
    this.#window = await this.#bytes.read(position, Math.min(WINDOW_BYTES, rest));
    this.#windowStart = position;
    return this.#window.subarray(0, length);
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}

async function readDirectory(file: string, zip: yauzl.ZipFile): Promise<Map<string, yauzl.Entry>> {
  const entries = new Map<string, yauzl.Entry>();
  if (zip.entryCount > MAX_ENTRIES) {
    throw corruptFile(file, `it claims ${zip.entryCount} zip entries, over ${MAX_ENTRIES}`);
  }
  let bytes = 0;
  for await (const entry of zip.eachEntry()) {
    bytes += entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
    if (bytes > MAX_DIRECTORY_BYTES) {
      throw corruptFile(file, `its zip directory has more than ${MAX_DIRECTORY_BYTES} bytes`);
    }
    if (entries.has(entry.fileName))
      throw corruptFile(file, `its zip entry ${seen(entry.fileName)} occurs twice`);
    entries.set(entry.fileName, entry);
  }
  return entries;
}

async function locate(file: string, zip: yauzl.ZipFile, name: string, entry: yauzl.Entry | undefined) {
  if (entry === undefined) throw corruptFile(file, `it has no zip entry ${seen(name)}`);
  if (entry.compressionMethod !== STORED || entry.isEncrypted()) {
    throw unreadableFormat(
      file,
      `has the zip entry ${seen(name)} compressed or encrypted, as torch never writes it`,
      'Load it with torch and save it again, or use a .safetensors version of this model.',
      { entry: name },
    );
  }
  if (entry.compressedSize !== entry.uncompressedSize) {
    throw corruptFile(file, `its zip entry ${seen(name)} is stored in another size than it has`);
  }
  const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
  return fileDataStart;
}

async function wrapErrors<T>(file: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof AnimateDiffError) throw error;
    // The reason may quote a name from the file.
    const reason = (error instanceof Error ? error.message : String(error)).slice(0, MAX_REASON);
    const text = reason.replace(/\p{Cc}/gu, '?').replace(/\.$/, '');
    throw corruptFile(file, `it cannot be read as a zip archive (${text})`, {}, error);
  }
}
