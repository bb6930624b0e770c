/** What is in the caches: this package's own files, and the models of the Hugging Face hub. No network. */
import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Environment, readEnvironment } from '../environment.ts';
import { listFiles, type RepoPaths, repoPaths } from './hub-cache.ts';
import { listStored } from './own-cache.ts';
import { DEFAULT_REVISION, formatSource } from './source.ts';

/** A file or folder in a cache. */
export interface CachedModel {
  /** As it is written to use or remove it. */
  readonly source: string;
  /** Absolute path. */
  readonly path: string;
  /** Size on the disk; what several entries share is counted in each. */
  readonly bytes: number;
}

/** A repository of the hub in the cache. */
export interface CachedRepo {
  /** `owner/name`. */
  readonly repo: string;
  readonly paths: RepoPaths;
}

export interface ListOptions {
  /** Default: the process's own. */
  readonly environment?: Environment;
}

/** Repositories of models in a cache of the hub; data sets and spaces are left out. */
export async function cachedRepos(cacheFolder: string): Promise<CachedRepo[]> {
  const names = await readdir(cacheFolder).catch(() => []);
  return names.sort().flatMap((name) => {
    // Names have no `--`, so the first one parts owner and name.
    const [, owner, repo] = /^models--([^-]+(?:-[^-]+)*)--(.+)$/.exec(name) ?? [];
    if (owner === undefined || repo === undefined) return [];
    return [{ repo: `${owner}/${repo}`, paths: repoPaths(cacheFolder, `${owner}/${repo}`) }];
  });
}

/** Everything that can be loaded without a network, the own cache first. */
export async function listModels(options: ListOptions = {}): Promise<CachedModel[]> {
  const environment = options.environment ?? readEnvironment();
  const own = (await listStored(environment.cacheFolder)).map(({ file, manifest }) => ({
    source: manifest.source,
    path: file,
    bytes: manifest.bytes,
  }));
  const models: CachedModel[] = [...own];
  for (const repo of await cachedRepos(environment.huggingFace.cacheFolder))
    models.push(...(await listRepo(repo)));
  return models;
}

async function listRepo({ repo, paths }: CachedRepo): Promise<CachedModel[]> {
  const refs = await readRefs(paths);
  const models: CachedModel[] = [];
  for (const commit of (await readdir(paths.snapshots).catch(() => [])).sort()) {
    const folder = path.join(paths.snapshots, commit);
    const names = await listFiles(folder);
    const revision = refs.get(commit) ?? commit;
    const whole = names.some((name) => /^(model_index|config)\.json$/.test(name));
    // A repository of single files is listed by them, since it cannot be loaded as a whole.
    for (const inner of whole ? [undefined] : names) {
      const source = formatSource({ kind: 'hf', repo, revision, path: inner });
      const files = (inner === undefined ? names : [inner]).map((name) => path.join(folder, name));
      models.push({ source, path: path.join(folder, inner ?? ''), bytes: await sizeOfAll(files) });
    }
  }
  return models;
}

/** Branch or tag by commit, `main` before others. */
async function readRefs({ refs }: RepoPaths): Promise<ReadonlyMap<string, string>> {
  const byCommit = new Map<string, string>();
  for (const name of await listFiles(refs)) {
    const commit = (await readFile(path.join(refs, name), 'utf8')).trim();
    if (name === DEFAULT_REVISION || !byCommit.has(commit)) byCommit.set(commit, name);
  }
  return byCommit;
}

/** Bytes of the files that `files` lead to, each counted once. */
export async function sizeOfAll(files: readonly string[]): Promise<number> {
  const targets = new Set<string>();
  let bytes = 0;
  for (const file of files) {
    const target = await realpath(file).catch(() => undefined);
    if (target === undefined || targets.has(target)) continue;
    targets.add(target);
    bytes += (await stat(target)).size;
  }
  return bytes;
}

/** Bytes of all files under a folder, without following links. */
export async function sizeOfFolder(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    if (entry.isFile()) bytes += (await lstat(path.join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}
