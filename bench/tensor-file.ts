/** Float32 tensors as files of little-endian values, which every side reads and writes. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Values of `<folder>/<name>.f32`. */
export function readTensor(folder: string, name: string): Float32Array {
  const bytes = readFileSync(path.join(folder, `${name}.f32`));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

export function writeTensor(folder: string, name: string, data: Float32Array): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  writeFileSync(path.join(folder, `${name}.f32`), bytes);
}
