/** Writes a file that appears whole or not at all: beside the target first, then renamed. */
import { closeSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';

/** Appends bytes to the file. */
export type Write = (bytes: Uint8Array) => void;

/** Creates `file` and its folder; `produce` is called once with the function that appends to it. */
export function writeWhole(file: string, produce: (write: Write) => void): void {
  mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  const beside = `${file}.${process.pid}.part`;
  const descriptor = openSync(beside, 'w');
  try {
    produce((bytes) => {
      for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
    });
    closeSync(descriptor);
    renameSync(beside, file);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

/** Writes a value as indented JSON. */
export function writeJson(file: string, value: unknown): void {
  writeWhole(file, (write) => write(Buffer.from(`${JSON.stringify(value, null, 2)}\n`)));
}
