/**
 * The cache of the Hugging Face hub, in the layout that Python's huggingface_hub has too:
 * `models--owner--name/blobs/<hash>` holds files, `snapshots/<commit>/<path>` links to them, and
 * `refs/<revision>` holds the commit that a branch or tag was at. No network.
 */
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AnimateDiffError } from '../errors.ts';
import type { JsonObject } from '../weights/folder.ts';
import { diffusersFiles } from './diffusers-files.ts';
import type { HubSource } from './source.ts';

const COMMIT = /^[0-9a-f]{40}$/;

/** Paths of one repository in a cache. */
export interface RepoPaths {
  /** `models--owner--name`. */
  readonly name: string;
  readonly root: string;
  readonly blobs: string;
  readonly refs: string;
  readonly snapshots: string;
}

export function repoPaths(cacheFolder: string, repo: string): RepoPaths {
  const name = `models--${repo.replace('/', '--')}`;
  const root = path.join(cacheFolder, name);
  return {
    name,
    root,
    blobs: path.join(root, 'blobs'),
    refs: path.join(root, 'refs'),
    snapshots: path.join(root, 'snapshots'),
  };
}

/** The commit that a revision was at when it was last fetched. */
export async function cachedCommit(paths: RepoPaths, revision: string): Promise<string | undefined> {
  if (COMMIT.test(revision)) return revision;
  const text = await readFile(path.join(paths.refs, revision), 'utf8').catch(() => '');
  return COMMIT.test(text.trim()) ? text.trim() : undefined;
}

/** Absolute path of a file or of a complete diffusers folder, if the cache has it. */
export async function findCached(cacheFolder: string, source: HubSource): Promise<string | undefined> {
  const paths = repoPaths(cacheFolder, source.repo);
  const commit = await cachedCommit(paths, source.revision);
  if (commit === undefined) return undefined;
  const place = path.join(paths.snapshots, commit, source.path ?? '');
  const found = await stat(place).catch(() => undefined);
  if (found === undefined || found.isFile()) return found && place;
  return (await isComplete(place)) ? place : undefined;
}

/** Whether a folder has all files that are read of a diffusers folder. */
async function isComplete(folder: string): Promise<boolean> {
  const names = new Set(await listFiles(folder));
  try {
    const readJson = (name: string) => readJsonFile(path.join(folder, name));
    return 'files' in (await diffusersFiles({ names, readJson }));
  } catch {
    return false;
  }
}

export async function readJsonFile(file: string): Promise<JsonObject> {
  const text = await readFile(file, 'utf8');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch {}
  throw new AnimateDiffError('ERR_FILE_CORRUPT', `${file} is not a JSON object. Fetch it again.`, {
    details: { file },
  });
}

/** Files under a folder that can be opened (links lead somewhere), as paths with `/`. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => !entry.isDirectory());
  const names: string[] = [];
  for (const entry of files) {
    const file = path.join(entry.parentPath, entry.name);
    if ((await stat(file).catch(() => undefined))?.isFile())
      names.push(path.relative(folder, file).split(path.sep).join('/'));
  }
  return names.sort();
}

/** Makes `file` of a snapshot lead to a blob, and returns its path. */
export async function linkBlob(
  paths: RepoPaths,
  commit: string,
  file: string,
  blob: string,
): Promise<string> {
  const pointer = path.join(paths.snapshots, commit, file);
  await mkdir(path.dirname(pointer), { recursive: true });
  const relative = path.relative(path.dirname(pointer), blob);
  await replace(pointer, (draft) =>
    // Some network file systems know no symbolic links.
    symlink(relative, draft).catch(() => copyFile(blob, draft)),
  );
  return pointer;
}

/** Notes the commit that a branch or tag is at. */
export async function writeRef(paths: RepoPaths, revision: string, commit: string): Promise<void> {
  if (COMMIT.test(revision)) return;
  const ref = path.join(paths.refs, revision);
  await mkdir(path.dirname(ref), { recursive: true });
  await replace(ref, (draft) => writeFile(draft, commit));
}

/** Writes beside `file` and renames, so that `file` is there whole or not at all. */
async function replace(file: string, write: (draft: string) => Promise<void>): Promise<void> {
  const draft = path.join(path.dirname(file), `.${randomUUID()}.tmp`);
  try {
    await write(draft);
    await rename(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}
