/**
 * Files and folders that appear whole or not at all: everything is written under another name beside the
 * target, flushed to the disk and renamed. Missing parent folders are made.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { AnimateDiffError } from '../errors.ts';

/** What the usual failures mean and what helps. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk. Free some, or choose another folder.',
  EDQUOT: 'the disk quota is used up. Free some space, or choose another folder.',
  EFBIG: 'the file is larger than the file system allows.',
  EACCES: 'permission is denied. Choose a folder that you may write to.',
  EPERM: 'permission is denied. Choose a folder that you may write to.',
  EROFS: 'the file system is read-only. Choose another folder.',
  EISDIR: 'it is a folder. Add a file name.',
  ENOTDIR: 'a part of the path is a file, not a folder.',
  EEXIST: 'a part of the path is a file, not a folder.',
  ENAMETOOLONG: 'the name is too long. Choose a shorter one.',
  ENOTEMPTY: 'the folder holds other files. Choose a new folder, or remove it first.',
};

function outputError(target: string, cause: unknown): AnimateDiffError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? '';
  const reason = ADVICE[code] ?? (cause instanceof Error ? cause.message : String(cause));
  return new AnimateDiffError('ERR_OUTPUT', `Cannot write ${target}: ${reason}`, {
    cause,
    details: { path: target, reason: code },
  });
}

/** Runs `write` with a name beside the target that is not in use; whatever has it in the end is removed. */
export async function beside(target: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const folder = path.dirname(target);
  const temporary = path.join(folder, `.animatediff-${randomBytes(6).toString('hex')}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    await write(temporary);
  } catch (cause) {
    throw cause instanceof AnimateDiffError ? cause : outputError(target, cause);
  } finally {
    // The error that is on its way says more than a failure to tidy up.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** The path itself, or the nearest parent that exists. */
async function nearestExisting(target: string): Promise<string> {
  for (let candidate = path.resolve(target); ; candidate = path.dirname(candidate)) {
    const found = await stat(candidate).catch((error: NodeJS.ErrnoException) => error);
    if (!(found instanceof Error)) return candidate;
    if (found.code !== 'ENOENT') throw found;
  }
}

/**
 * Finds out before hours of work whether a file (`kind` file) or files in a folder can be written. Makes
 * nothing.
 *
 * @throws ERR_OUTPUT as writing would
 */
export async function requireWritable(target: string, kind: 'file' | 'folder'): Promise<void> {
  try {
    const existing = await nearestExisting(target);
    const isFolder = (await stat(existing)).isDirectory();
    const isTarget = existing === path.resolve(target);
    if (kind === 'file' && isTarget && isFolder) throw Object.assign(new Error(), { code: 'EISDIR' });
    if (!isFolder && !(kind === 'file' && isTarget)) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    await access(isFolder ? existing : path.dirname(existing), constants.W_OK);
  } catch (cause) {
    throw outputError(target, cause);
  }
}

async function writeFlushed(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'wx');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file, replacing one of this name.
 *
 * @throws ERR_OUTPUT naming the reason; the earlier file is then untouched
 */
export async function writeFile(file: string, bytes: Uint8Array): Promise<void> {
  const target = path.resolve(file);
  await beside(target, async (temporary) => {
    await writeFlushed(temporary, bytes);
    await rename(temporary, target);
  });
}

/**
 * The same for a file that is made piece by piece.
 *
 * @throws ERR_OUTPUT naming the reason, or what making a piece throws; the earlier file is then untouched
 */
export async function writeChunks(file: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const target = path.resolve(file);
  await beside(target, async (temporary) => {
    const handle = await open(temporary, 'wx');
    try {
      for await (const chunk of chunks) await handle.writeFile(chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  });
}

/** A file of a folder. */
export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Refuses a folder with content that is not an earlier result. True when there is a folder to replace. */
async function checkReplaceable(target: string, isOurs: (name: string) => boolean): Promise<boolean> {
  if ((await stat(target).catch(() => undefined)) === undefined) return false;
  const names = await readdir(target);
  if (!names.every(isOurs)) throw outputError(target, Object.assign(new Error(), { code: 'ENOTEMPTY' }));
  return true;
}

/** Puts a folder in the place of another, which comes back if that fails. */
async function replaceFolder(fresh: string, target: string, aside: string): Promise<void> {
  await rename(target, aside);
  try {
    await rename(fresh, target);
  } catch (cause) {
    await rename(aside, target);
    throw cause;
  }
}

/**
 * Writes a folder, replacing an earlier one that holds nothing but files of this kind.
 *
 * @param isOurs tells names of files that an earlier result has
 * @returns bytes written
 * @throws ERR_OUTPUT naming the reason, also when the folder holds other files
 */
export async function writeFolder(
  folder: string,
  files: AsyncIterable<NamedBytes>,
  isOurs: (name: string) => boolean,
): Promise<number> {
  const target = path.resolve(folder);
  let written = 0;
  await beside(target, async (temporary) => {
    const fresh = path.join(temporary, 'new');
    await mkdir(fresh, { recursive: true });
    for await (const { name, bytes } of files) {
      await writeFlushed(path.join(fresh, name), bytes);
      written += bytes.length;
    }
    if (await checkReplaceable(target, isOurs))
      await replaceFolder(fresh, target, path.join(temporary, 'old'));
    else await rename(fresh, target);
  });
  return written;
}
