/** Brings a file or a diffusers folder of the Hugging Face hub into its cache. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { AnimateDiffError } from '../errors.ts';
import { type Access, notCached, refused, statusOf } from './access.ts';
import { checksumDigest } from './checksum.ts';
import { diffusersFiles } from './diffusers-files.ts';
import { fetchFile } from './download.ts';
import { type HubFile, type HubListing, hubToken, listRepo, refusedByHub } from './hub-api.ts';
import { findCached, linkBlob, type RepoPaths, readJsonFile, repoPaths, writeRef } from './hub-cache.ts';
import { withLock } from './lock.ts';
import { formatSource, type HubSource } from './source.ts';

interface Fetching {
  readonly source: HubSource;
  readonly paths: RepoPaths;
  readonly access: Access;
  readonly token: string | undefined;
}

/**
 * Absolute path of the file or folder in the cache. What is there is taken without asking the network, unless
 * `access.refresh` says otherwise.
 *
 * @throws ERR_DOWNLOAD, ERR_CHECKSUM; `signal.reason` on abort.
 */
export async function resolveHub(source: HubSource, access: Access): Promise<string> {
  const { cacheFolder } = access.environment.huggingFace;
  if (!access.refresh || access.offline) {
    const cached = await findCached(cacheFolder, source);
    if (cached !== undefined) return cached;
  }
  if (access.offline) throw notCached(source);
  const text = formatSource(source);
  access.onProgress?.({ phase: 'look-up', source: text, name: source.repo, done: 0, total: undefined });
  const listing = await listRepo(source, access);
  const fetching = {
    source,
    access,
    paths: repoPaths(cacheFolder, source.repo),
    token: await hubToken(access),
  };
  const place =
    source.path !== undefined && listing.files.has(source.path)
      ? await fetchOne(fetching, listing, source.path)
      : await fetchFolder(fetching, listing);
  await writeRef(fetching.paths, source.revision, listing.commit);
  return place;
}

async function fetchFolder(fetching: Fetching, listing: HubListing): Promise<string> {
  const { source, paths } = fetching;
  const prefix = source.path === undefined ? '' : `${source.path}/`;
  const names = new Set(
    [...listing.files.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length)),
  );
  const result =
    names.size === 0
      ? { missing: `no ${source.path ?? 'files'}` }
      : await diffusersFiles({
          names,
          readJson: async (name) => readJsonFile(await fetchOne(fetching, listing, prefix + name)),
        });
  if ('missing' in result) throw noFolder(source, listing, result.missing);
  for (const name of result.files) await fetchOne(fetching, listing, prefix + name);
  return path.join(paths.snapshots, listing.commit, source.path ?? '');
}

/** The error for a repository that is no diffusers folder: it names the files that may have been meant. */
function noFolder(source: HubSource, listing: HubListing, missing: string): AnimateDiffError {
  const weights = [...listing.files.keys()].filter((name) => /\.(safetensors|ckpt|pt|pth|bin)$/.test(name));
  const choices = weights.slice(0, 12).map((name) => formatSource({ ...source, path: name }));
  const more = weights.length > choices.length ? `, … (${weights.length} in all)` : '';
  const way = choices.length === 0 ? 'Check its page.' : `Name a file: ${choices.join(', ')}${more}.`;
  return refused(source, undefined, `it has ${missing}. ${way}`, undefined);
}

/** Path of a file in the snapshot, fetched if the cache lacks it. */
async function fetchOne(fetching: Fetching, listing: HubListing, name: string): Promise<string> {
  const file = listing.files.get(name);
  if (file === undefined) throw noFolder(fetching.source, listing, `no ${name}`);
  const { paths } = fetching;
  const blob = await fetchBlob(fetching, listing.commit, file);
  return await linkBlob(paths, listing.commit, name, blob);
}

async function fetchBlob(fetching: Fetching, commit: string, file: HubFile): Promise<string> {
  const { paths, access, source } = fetching;
  const digest = checksumDigest(file);
  const target = path.join(paths.blobs, digest);
  // A blob has its name from its hash, and gets it when it is complete.
  const present = await stat(target).catch(() => undefined);
  if (present?.isFile() && present.size === file.bytes) return target;
  const text = formatSource({ ...source, path: file.path });
  const name = path.posix.basename(file.path);
  const lock = path.join(path.dirname(paths.root), '.locks', paths.name, `${digest}.animatediff-native.lock`);
  const onWait = (holder: string) =>
    access.onProgress?.({ phase: 'wait', source: text, name: holder, done: 0, total: undefined });
  // Python's locks are of another kind, so both may fetch the same file, each under its own name.
  return await withLock(lock, () => download(), { signal: access.signal, onWait });

  async function download(): Promise<string> {
    const { endpoint } = access.environment.huggingFace;
    const address = [source.repo, 'resolve', commit, ...file.path.split('/').map(encodeURIComponent)];
    const { path: _path, ...expected } = file;
    try {
      return await fetchFile(
        { ...expected, url: `${endpoint}/${address.join('/')}` },
        {
          ...access,
          target,
          proxy: access.environment.proxy,
          headers: fetching.token === undefined ? {} : { authorization: `Bearer ${fetching.token}` },
          cacheVariable: 'HF_HOME',
          onProgress: (done, total) =>
            access.onProgress?.({ phase: 'download', source: text, name, done, total }),
          onVerify: () =>
            access.onProgress?.({ phase: 'verify', source: text, name, done: 0, total: file.bytes }),
        },
      );
    } catch (error) {
      const status = statusOf(error);
      if (status === undefined || ![401, 403, 404].includes(status)) throw error;
      throw refusedByHub(source, status, fetching.token !== undefined, error);
    }
  }
}
