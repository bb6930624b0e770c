/**
 * Removes models from the caches. Nothing outside of them is touched; of the hub's cache, which other programs
 * share, only what was named. The folders of a cache may be links, to a larger disk perhaps; a link to a model goes,
 * and what it leads to stays.
 */
import { lstat, readdir, realpath, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { type Environment, readEnvironment } from '../environment.ts';
import { AnimateDiffError, invalidArgument } from '../errors.ts';
import { cachedCommit, listFiles, type RepoPaths, repoPaths } from './hub-cache.ts';
import { type ListOptions, sizeOfFolder } from './list.ts';
import { KINDS, listStored, ownCache, ownFolder } from './own-cache.ts';
import { formatSource, type HubSource, parseSource, type SourceInput, showSource } from './source.ts';

/** What went. */
export interface RemovedModel {
  readonly source: string;
  /** Folder or file that is no more. */
  readonly path: string;
  /** Bytes that were freed; a file that another revision uses, or behind a link, stays, and frees nothing. */
  readonly bytes: number;
}

/**
 * Removes one source. A repository without revision and file goes whole, with all revisions.
 *
 * @throws ERR_INVALID_ARGUMENT for a path, ERR_FILE_NOT_FOUND for what is not in the cache.
 */
export async function removeModel(input: SourceInput, options: ListOptions = {}): Promise<RemovedModel> {
  const environment = options.environment ?? readEnvironment();
  const source = parseSource(input);
  if (source.kind === 'local') {
    throw invalidArgument(
      'source',
      'a source of a cache, such as civitai:78775, since other files are yours to remove',
      source.path,
    );
  }
  const text = showSource(source);
  if (source.kind === 'hf') return await removeFromHub(source, text, environment);
  const folder = ownFolder(environment.cacheFolder, source);
  await requireThere(text, folder, environment.cacheFolder);
  return await removeFolder(text, folder);
}

/** Removes every file of this package's own cache, and leaves the hub's cache alone. */
export async function removeAllModels(options: ListOptions = {}): Promise<RemovedModel[]> {
  const { cacheFolder } = options.environment ?? readEnvironment();
  const removed: RemovedModel[] = [];
  for (const { folder, manifest } of await listStored(cacheFolder))
    removed.push(await removeFolder(manifest.source, folder));
  // Parts of downloads that were given up have no manifest.
  const rest = ownCache(cacheFolder);
  let bytes = 0;
  for (const [kind, names] of Object.entries(KINDS)) bytes += await emptyFolder(path.join(rest, kind), names);
  if (bytes > 0) removed.push({ source: 'unfinished downloads', path: rest, bytes });
  await rmdir(rest).catch(() => {});
  return removed;
}

/**
 * Removes what has such a name from a folder, and the folder itself if it is empty then and no link; returns the
 * bytes. Behind a link other files may lie, which are not this package's.
 */
async function emptyFolder(folder: string, names: RegExp): Promise<number> {
  let bytes = 0;
  for (const name of (await readdir(folder).catch(() => [])).filter((found) => names.test(found))) {
    const place = path.join(folder, name);
    bytes += (await isLink(place)) ? 0 : await sizeOfFolder(place);
    await rm(place, { recursive: true });
  }
  await rmdir(folder).catch(() => {});
  return bytes;
}

async function isLink(place: string): Promise<boolean> {
  return (await lstat(place).catch(() => undefined))?.isSymbolicLink() ?? false;
}

async function removeFolder(source: string, folder: string): Promise<RemovedModel> {
  const bytes = (await isLink(folder)) ? 0 : await sizeOfFolder(folder);
  await rm(folder, { recursive: true });
  return { source, path: folder, bytes };
}

async function requireThere(source: string, place: string, cache: string): Promise<void> {
  const found = await lstat(place).catch(() => undefined);
  if (found === undefined) throw notThere(source, cache);
}

/** Refuses what is not there, and what a link leads out of the cache. */
async function requireInside(source: string, place: string, cache: string): Promise<void> {
  await requireThere(source, place, cache);
  const [parent, root] = await Promise.all([realpath(path.dirname(place)), realpath(cache)]);
  if (parent === root || parent.startsWith(`${root}${path.sep}`)) return;
  throw invalidArgument('source', `a file in ${cache}`, path.join(parent, path.basename(place)));
}

function notThere(source: string, cache: string): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_FILE_NOT_FOUND',
    `${source} is not in ${cache}. \`animatediff-native models list\` says what is.`,
    { details: { source, cache } },
  );
}

async function removeFromHub(
  source: HubSource,
  text: string,
  { huggingFace: { cacheFolder } }: Environment,
): Promise<RemovedModel> {
  const paths = repoPaths(cacheFolder, source.repo);
  await requireInside(text, paths.root, cacheFolder);
  const isWhole = text === formatSource({ ...source, revision: 'main', path: undefined });
  if (isWhole) return await removeFolder(text, paths.root);
  const commit = await cachedCommit(paths, source.revision);
  const place = path.join(paths.snapshots, commit ?? '', source.path ?? '');
  if (commit === undefined) throw notThere(text, cacheFolder);
  await requireInside(text, place, paths.root);
  const before = await sizeOfFolder(paths.blobs);
  await rm(place, { recursive: true });
  await removeEmptyFolders(path.dirname(place), paths.snapshots);
  await removeLostRefs(paths);
  await removeUnusedBlobs(paths);
  return { source: text, path: place, bytes: before - (await sizeOfFolder(paths.blobs)) };
}

/** Removes the notes of branches and tags whose snapshot is gone. */
async function removeLostRefs(paths: RepoPaths): Promise<void> {
  const commits = await readdir(paths.snapshots).catch((): string[] => []);
  for (const revision of await listFiles(paths.refs)) {
    const commit = await cachedCommit(paths, revision);
    if (commit !== undefined && !commits.includes(commit)) await rm(path.join(paths.refs, revision));
  }
}

/** Removes blobs that no snapshot leads to. One that is a link to a disk that is not there now stays. */
async function removeUnusedBlobs({ blobs, snapshots }: RepoPaths): Promise<void> {
  const used = new Set<string>();
  for (const name of await listFiles(snapshots)) used.add(await realpath(path.join(snapshots, name)));
  for (const name of await readdir(blobs).catch(() => [])) {
    const blob = path.join(blobs, name);
    // What another program is fetching has no hash as its name yet.
    const target = /^[0-9a-f]+$/.test(name) ? await realpath(blob).catch(() => undefined) : undefined;
    if (target !== undefined && !used.has(target)) await rm(blob);
  }
}

async function removeEmptyFolders(folder: string, root: string): Promise<void> {
  for (let current = folder; current.startsWith(`${root}${path.sep}`); current = path.dirname(current)) {
    const removed = await rmdir(current).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
}
