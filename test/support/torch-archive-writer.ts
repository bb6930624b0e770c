/**
 * Writes what `torch.save` writes for a state dict, without Python: a zip archive of stored entries with
 * `data.pkl` (pickle protocol 2), one entry per storage, 64-byte alignment by an `FB` extra field, data
 * descriptors, and ZIP64 end records, as torch 2.13 lays it out.
 */
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { AnimateDiffError } from '../../lib/errors.ts';
import { pickleStateDict, type Scalar } from './pickle-writer.ts';
import type { Tensor } from './tensor.ts';
import { type Write, writeWhole } from './write-whole.ts';

interface Entry {
  readonly name: Buffer;
  readonly crc: number;
  readonly size: number;
  readonly offset: number;
}

const LOCAL_HEADER_BYTES = 30;
const ALIGNMENT = 64;
/** Data descriptor follows; names are UTF-8. */
const FLAGS = 0x0808;
/** Sizes and offsets are written in 32 bits. */
const LIMIT = 2 ** 32;

/** A little-endian record of 2, 4 and 8 byte fields. */
function record(...fields: readonly (readonly [bytes: 2 | 4 | 8, value: number])[]): Buffer {
  const buffer = Buffer.alloc(fields.reduce((sum, [bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 8) buffer.writeBigUInt64LE(BigInt(value), at);
    else buffer.writeUIntLE(value, at, bytes);
    at += bytes;
  }
  return buffer;
}

class StoredZip {
  readonly #write: Write;
  readonly #entries: Entry[] = [];
  #offset = 0;

  constructor(write: Write) {
    this.#write = (bytes) => {
      write(bytes);
      this.#offset += bytes.length;
    };
  }

  add(name: string, bytes: Uint8Array): void {
    const entry = { name: Buffer.from(name), crc: crc32(bytes), size: bytes.length, offset: this.#offset };
    if (entry.offset + entry.size + ALIGNMENT * 2 >= LIMIT) {
      throw new AnimateDiffError(
        'ERR_OUTPUT',
        `Archives of 4 GiB and more are not written; '${name}' ends beyond.`,
      );
    }
    const unpadded = entry.offset + LOCAL_HEADER_BYTES + entry.name.length + 4;
    const padding = Buffer.alloc((ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT, 'Z');
    const local = record([4, 0x04034b50], [2, 0], [2, FLAGS], [2, 0], [4, 0], [4, 0], [4, 0], [4, 0]);
    this.#write(Buffer.concat([local, record([2, entry.name.length], [2, padding.length + 4])]));
    this.#write(Buffer.concat([entry.name, Buffer.from('FB'), record([2, padding.length]), padding]));
    this.#write(bytes);
    this.#write(record([4, 0x08074b50], [4, entry.crc], [4, entry.size], [4, entry.size]));
    this.#entries.push(entry);
  }

  close(): void {
    const directory = this.#offset;
    for (const { name, crc, size, offset } of this.#entries) {
      const fixed = record(
        [4, 0x02014b50],
        [2, 0],
        [2, 0],
        [2, FLAGS],
        [2, 0],
        [4, 0],
        [4, crc],
        [4, size],
        [4, size],
      );
      const rest = record([2, name.length], [2, 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]);
      this.#write(Buffer.concat([fixed, rest, name]));
    }
    const count = this.#entries.length;
    const end = this.#offset;
    const size = end - directory;
    this.#write(record([4, 0x06064b50], [8, 44], [2, 0x31e], [2, 45], [4, 0], [4, 0]));
    this.#write(record([8, count], [8, count], [8, size], [8, directory]));
    this.#write(record([4, 0x07064b50], [4, 0], [8, end], [4, 1]));
    this.#write(
      record([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, directory], [2, 0]),
    );
  }
}

/** How the tensors lie in the pickled object. */
export interface ArchiveOptions {
  /** Key such as `state_dict` under which the tensors are; null or none: they are the object itself. */
  readonly wrapper?: string | null;
  /** Values beside the tensors (beside the wrapper, if there is one). */
  readonly scalars?: Readonly<Record<string, Scalar>>;
  /** Tensors of an optimizer, beside the weights as PyTorch Lightning saves them. */
  readonly optimizer?: readonly Tensor[];
}

/** Writes the tensors as `torch.save` would. The file appears whole or not at all. */
export function writeTorchArchive(
  file: string,
  tensors: readonly Tensor[],
  options: ArchiveOptions = {},
): void {
  const folder = path.parse(file).name;
  writeWhole(file, (write) => {
    const zip = new StoredZip(write);
    const text = (name: string, content: string) => zip.add(`${folder}/${name}`, Buffer.from(content));
    const { wrapper = null, scalars = {}, optimizer = [] } = options;
    zip.add(`${folder}/data.pkl`, pickleStateDict(tensors, wrapper, scalars, optimizer));
    text('.format_version', '1');
    text('.storage_alignment', String(ALIGNMENT));
    text('byteorder', 'little');
    for (const [index, tensor] of [...tensors, ...optimizer].entries())
      zip.add(`${folder}/data/${index}`, tensor.bytes());
    text('version', '3\n');
    text('.data/serialization_id', '0'.repeat(40));
    zip.close();
  });
}
