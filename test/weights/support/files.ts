/** Weight files for tests, in a folder of their own: header-only safetensors of any size, and raw bytes. */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { DTYPE_BYTES, type DType } from '../../../lib/weights/types.ts';

export type Shapes = ReadonlyMap<string, readonly number[]>;

/** A folder that is removed after the tests of the calling file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'weights-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes bytes or text, with the folders above. Returns the path. */
export function writeBytes(file: string, content: Buffer | string): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

export interface TensorHeader {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Header of tensors that follow each other without gaps. */
export function safetensorsHeader(shapes: Shapes, dtype: DType): Record<string, TensorHeader> {
  let offset = 0;
  const entries = Array.from(shapes, ([name, shape]): [string, TensorHeader] => {
    const begin = offset;
    offset += shape.reduce((product, size) => product * size, 1) * DTYPE_BYTES[dtype];
    return [name, { dtype, shape, data_offsets: [begin, offset] }];
  });
  return Object.fromEntries(entries);
}

/** Length field, header, data. */
export function safetensorsBytes(header: unknown, data: Buffer | number = 0): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, typeof data === 'number' ? Buffer.alloc(data) : data]);
}

/** A safetensors file of real size whose data is a hole in the file system: all zeros, no disk space. */
export function writeHeaderOnly(
  file: string,
  shapes: Shapes,
  dtype: DType = 'F16',
  metadata?: Record<string, string>,
): string {
  mkdirSync(path.dirname(file), { recursive: true });
  const tensors = safetensorsHeader(shapes, dtype);
  const head = safetensorsBytes(metadata === undefined ? tensors : { __metadata__: metadata, ...tensors });
  const end = Math.max(0, ...Object.values(tensors).map(({ data_offsets }) => data_offsets[1]));
  const handle = openSync(file, 'w');
  writeSync(handle, head);
  ftruncateSync(handle, head.length + end);
  closeSync(handle);
  return file;
}
