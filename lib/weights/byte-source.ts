/**
 * Random access to the bytes of a weight file. Readers ask for small ranges (headers); a range outside the
 * file is a damaged file, never a short result.
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { AnimateDiffError } from '../errors.ts';
import { corruptFile, unreadableFormat } from './file-errors.ts';

export interface ByteSource {
  /** Absolute path. */
  readonly path: string;
  /** Size of the file in bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`. Throws ERR_FILE_CORRUPT when the range leaves the file. */
  read(offset: number, length: number): Promise<Buffer>;
}

/**
 * Opens a regular file for the time that `use` runs.
 * Throws ERR_FILE_NOT_FOUND when it cannot be opened, ERR_FILE_FORMAT for a folder or a device.
 */
export async function withBytes<T>(file: string, use: (bytes: ByteSource) => Promise<T>): Promise<T> {
  const absolute = path.resolve(file);
  const handle = await openRegularFile(absolute);
  try {
    const { size } = await handle.stat();
    return await use({
      path: absolute,
      size,
      read: (offset, length) => readRange(handle, absolute, size, offset, length),
    });
  } finally {
    await handle.close();
  }
}

async function openRegularFile(file: string): Promise<FileHandle> {
  try {
    // Before it is opened, since opening a device may do something; and after, since the path may have changed.
    requireRegular(file, await stat(file));
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      requireRegular(file, await handle.stat());
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    throw error instanceof AnimateDiffError ? error : cannotRead(file, error);
  }
}

function requireRegular(file: string, info: Stats): void {
  if (info.isFile()) return;
  const what = info.isDirectory() ? 'is a folder, not a file' : 'is not a regular file';
  throw unreadableFormat(file, what, 'Give the path of a file.');
}

/** The error for a path that cannot be opened or listed. */
export function cannotRead(file: string, cause: unknown): AnimateDiffError {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
  const what = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
  return new AnimateDiffError('ERR_FILE_NOT_FOUND', `${file} ${what}. Check the path.`, {
    cause,
    details: { file, errno: code },
  });
}

async function readRange(handle: FileHandle, file: string, size: number, offset: number, length: number) {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw corruptFile(file, `it points to ${length} bytes at offset ${offset}`);
  }
  if (offset + length > size) {
    throw corruptFile(
      file,
      `${length} bytes are expected at offset ${offset}, but the file ends at ${size}`,
      {
        reason: 'truncated',
      },
    );
  }
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) throw corruptFile(file, `it became shorter while it was read`);
    filled += bytesRead;
  }
  return buffer;
}
