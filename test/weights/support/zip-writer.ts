/** Writes zip archives for tests, also broken ones, and ones larger than 4 GiB as sparse files. */
import { closeSync, openSync, writeSync } from 'node:fs';

export interface ZipEntry {
  readonly name: string;
  readonly data: Buffer;
  /** Compression method. Default 0, stored. */
  readonly method?: number;
  /** Default 0. */
  readonly flags?: number;
  /** Size that the headers claim. Default: the real one. */
  readonly claimedSize?: number;
  /** Bytes that are left out before the entry. Default 0. */
  readonly gap?: number;
}

type Field = readonly [bytes: 2 | 4 | 8, value: number];

/** A little-endian record. */
function record(...fields: readonly Field[]): Buffer {
  const buffer = Buffer.alloc(fields.reduce((sum, [bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 8) buffer.writeBigUInt64LE(BigInt(value), at);
    else buffer.writeUIntLE(value, at, bytes);
    at += bytes;
  }
  return buffer;
}

/** Fields that local and central headers share, from the flags to the length of the extra field. */
function common({ name, data, method = 0, flags = 0, claimedSize }: ZipEntry, extraBytes: number): Field[] {
  const size = claimedSize ?? data.length;
  const nameBytes = Buffer.byteLength(name);
  return [
    [2, flags],
    [2, method],
    [4, 0],
    [4, 0],
    [4, size],
    [4, size],
    [2, nameBytes],
    [2, extraBytes],
  ];
}

const ZIP64_EXTRA = 1;
const IN_ZIP64 = 0xffffffff;

/** Writes an archive with ZIP64 records throughout. Returns the path. */
export function writeZip(file: string, entries: readonly ZipEntry[]): string {
  const handle = openSync(file, 'w');
  let position = 0;
  const write = (bytes: Buffer) => {
    position += writeSync(handle, bytes, 0, bytes.length, position);
  };
  const directory: Buffer[] = [];
  for (const entry of entries) {
    position += entry.gap ?? 0;
    const name = Buffer.from(entry.name);
    const extra = record([2, ZIP64_EXTRA], [2, 8], [8, position]);
    const head = record([4, 0x02014b50], [2, 45], [2, 45], ...common(entry, extra.length));
    const tail = record([2, 0], [2, 0], [2, 0], [4, 0], [4, IN_ZIP64]);
    directory.push(head, tail, name, extra);
    write(Buffer.concat([record([4, 0x04034b50], [2, 45], ...common(entry, 0)), name, entry.data]));
  }
  const start = position;
  write(Buffer.concat(directory));
  const [count, length] = [entries.length, position - start];
  const end64 = position;
  write(
    record(
      [4, 0x06064b50],
      [8, 44],
      [2, 45],
      [2, 45],
      [4, 0],
      [4, 0],
      [8, count],
      [8, count],
      [8, length],
      [8, start],
    ),
  );
  write(record([4, 0x07064b50], [4, 0], [8, end64], [4, 1]));
  const shortCount = Math.min(count, 0xffff);
  write(
    record(
      [4, 0x06054b50],
      [2, 0],
      [2, 0],
      [2, shortCount],
      [2, shortCount],
      [4, length],
      [4, IN_ZIP64],
      [2, 0],
    ),
  );
  closeSync(handle);
  return file;
}
