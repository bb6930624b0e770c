/**
 * Fetches LibTorch into the cache: `animatediff-native install`. Downloads resume and are checked before
 * use, and the folder of a version gets its name only when it is complete.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Environment, readEnvironment } from '../environment.ts';
import { AnimateDiffError } from '../errors.ts';
import { fetchFile } from '../hub/download.ts';
import { withLock } from '../hub/lock.ts';
import { requireWritable } from '../output/write.ts';
import { cachedLibTorches, libtorchCache, MANIFEST, type Manifest, readCached } from './cache.ts';
import { downloadWheel } from './pip.ts';
import { type Artefact, type InstallPlan, planInstall } from './plan.ts';
import { assertPlatform } from './platform.ts';
import { openTree } from './tree.ts';
import { unpack } from './unpack.ts';
import { LIBTORCH_VERSION, minorOf } from './versions.ts';

export { type Artefact, type InstallPlan, type PlanOptions, planInstall } from './plan.ts';

/** How an installation goes on. */
export interface InstallProgress {
  /** `wait`: for another process that installs. */
  readonly phase: 'resolve' | 'wait' | 'download' | 'verify' | 'unpack';
  /** File name of the artefact; for `wait` the process that is waited for. */
  readonly name: string;
  /** Bytes done, and in total (undefined while unknown). */
  readonly done: number;
  readonly total: number | undefined;
}

export interface InstallOptions {
  /** Default `cpu`. */
  readonly device?: 'cpu' | 'cuda';
  /** Version of LibTorch. Default: the one that the prebuilt engine needs. */
  readonly version?: string;
  /** Only find out what would be fetched. Default false. */
  readonly dryRun?: boolean;
  readonly onProgress?: (progress: InstallProgress) => void;
  readonly signal?: AbortSignal;
  /** Default: the process's own. */
  readonly environment?: Environment;
}

/** What an installation did. */
export interface InstallResult {
  /** Folder in the cache. */
  readonly folder: string;
  readonly version: string;
  readonly device: 'cpu' | 'cuda';
  /** `present`: it was there already. `planned`: a dry run. */
  readonly outcome: 'installed' | 'present' | 'planned';
  /** What was or would be fetched; undefined when it was there already. */
  readonly plan?: InstallPlan;
}

/** Space that an installation takes while it runs, as a multiple of its downloads (measured: 3.6). */
const SPACE_FACTOR = 4;

/**
 * Makes sure that the cache holds LibTorch for `device`.
 *
 * @throws ERR_PLATFORM, ERR_OUTPUT, ERR_DOWNLOAD, ERR_CHECKSUM; `signal.reason` on abort, after which the cache holds no
 * half-written LibTorch, and what was downloaded is continued the next time.
 */
export async function install(options: InstallOptions = {}): Promise<InstallResult> {
  assertPlatform();
  const { device = 'cpu', version = LIBTORCH_VERSION, signal } = options;
  const environment = options.environment ?? readEnvironment();
  const request = { device, version, environment, signal };
  const present = findInstalled(environment.cacheFolder, device, version);
  if (present !== undefined && options.dryRun !== true) return present;
  options.onProgress?.({
    phase: 'resolve',
    name: `LibTorch ${version} (${device})`,
    done: 0,
    total: undefined,
  });
  await requireWritable(environment.cacheFolder, 'folder');
  const plan = await planInstall(request);
  if (options.dryRun) return { folder: plan.folder, version: plan.version, device, outcome: 'planned', plan };
  const parent = libtorchCache(environment.cacheFolder);
  return await withLock(
    path.join(parent, '.lock'),
    async () =>
      findInstalled(environment.cacheFolder, device, version) ?? (await carryOut(plan, environment, options)),
    { signal, onWait: (name) => options.onProgress?.({ phase: 'wait', name, done: 0, total: undefined }) },
  );
}

function findInstalled(
  cacheFolder: string,
  device: 'cpu' | 'cuda',
  version: string,
): InstallResult | undefined {
  const found = cachedLibTorches(cacheFolder).found.find(
    ({ manifest }) => manifest.device === device && minorOf(manifest.version) === minorOf(version),
  );
  return found && { folder: found.folder, version: found.manifest.version, device, outcome: 'present' };
}

async function carryOut(
  plan: InstallPlan,
  environment: Environment,
  options: InstallOptions,
): Promise<InstallResult> {
  const parent = libtorchCache(environment.cacheFolder);
  await removeLeftovers(parent);
  await assertSpace(parent, plan);
  const unfinished = path.join(parent, `.unfinished-${randomUUID()}`);
  const downloads = path.join(environment.cacheFolder, 'downloads');
  try {
    await mkdir(unfinished);
    const libraries: Manifest['libraries'][number][] = [];
    for (const artefact of plan.artefacts) {
      const file = await obtain(artefact, downloads, environment, options);
      const onProgress = (done: number, total: number) =>
        options.onProgress?.({ phase: 'unpack', name: artefact.name, done, total });
      libraries.push(
        ...(await unpack(file, artefact.layout, unfinished, { signal: options.signal, onProgress })),
      );
    }
    const version = await complete(unfinished, plan, libraries);
    options.signal?.throwIfAborted();
    await replaceFolder(unfinished, plan.folder);
    for (const artefact of plan.artefacts) await rm(downloadPath(artefact, downloads), { force: true });
    return { folder: plan.folder, version, device: plan.device, outcome: 'installed', plan };
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** Parts of installations that were killed; nobody else works here while the lock is held. */
async function removeLeftovers(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (/^\.(unfinished|replaced)-/.test(name))
      await rm(path.join(parent, name), { recursive: true, force: true });
  }
}

async function assertSpace(parent: string, { bytes }: InstallPlan): Promise<void> {
  if (bytes === undefined) return;
  const { bavail, bsize } = await statfs(parent);
  const [free, needed] = [bavail * bsize, bytes * SPACE_FACTOR];
  if (free >= needed) return;
  const gigabytes = (size: number) => `${(size / 1e9).toFixed(1)} GB`;
  throw new AnimateDiffError(
    'ERR_DOWNLOAD',
    `${parent} has ${gigabytes(free)} of free space, and installing LibTorch needs ${gigabytes(needed)}. Make room, or set ANIMATEDIFF_CACHE to another folder.`,
    { details: { free, needed } },
  );
}

/** The name carries the hash, so that a part of another file is never continued. */
function downloadPath(artefact: Artefact, downloads: string): string {
  return path.join(downloads, `${artefact.sha256.slice(0, 12)}-${artefact.name}`);
}

async function obtain(
  artefact: Artefact,
  downloads: string,
  environment: Environment,
  options: InstallOptions,
): Promise<string> {
  const { signal } = options;
  const { name, url, sha256, bytes } = artefact;
  const report = (phase: InstallProgress['phase'], done: number, total: number | undefined) =>
    options.onProgress?.({ phase, name, done, total });
  const settings = {
    target: downloadPath(artefact, downloads),
    proxy: environment.proxy,
    signal,
    onProgress: (done: number, total: number | undefined) => report('download', done, total),
    onVerify: () => report('verify', 0, bytes),
  };
  try {
    return await fetchFile({ url, sha256, bytes }, settings);
  } catch (error) {
    const { wheel } = artefact;
    if (wheel === undefined || !(error instanceof AnimateDiffError) || error.code !== 'ERR_DOWNLOAD')
      throw error;
    // An index that asks for a password, or that has its own certificate, is known to pip and not to us.
    const file = await downloadWheel(wheel, downloads, { environment, signal });
    return await fetchFile({ url: new URL(`file://${file}`).href, sha256 }, settings);
  }
}

/** Checks what was unpacked and writes the manifest. */
async function complete(
  folder: string,
  plan: InstallPlan,
  libraries: Manifest['libraries'],
): Promise<string> {
  const tree = openTree(folder);
  const problem =
    typeof tree === 'string'
      ? tree
      : plan.device === 'cuda' && !tree.cuda
        ? 'it has no CUDA half'
        : undefined;
  if (typeof tree === 'string' || problem !== undefined) {
    throw new AnimateDiffError(
      'ERR_DOWNLOAD',
      `What was downloaded is not the expected LibTorch: ${problem}.`,
    );
  }
  const manifest: Manifest = {
    version: tree.version,
    device: plan.device,
    installed: new Date().toISOString(),
    artefacts: plan.artefacts.map(({ url, bytes = 0, sha256 }) => ({
      url: withoutSecrets(url),
      bytes,
      sha256,
    })),
    libraries,
  };
  await writeFile(path.join(folder, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`);
  return tree.version;
}

function withoutSecrets(address: string): string {
  const url = new URL(address);
  url.username = '';
  url.password = '';
  return url.href;
}

/** Gives the finished folder its name; a damaged installation of that name goes away. */
async function replaceFolder(finished: string, folder: string): Promise<void> {
  const replaced = path.join(path.dirname(folder), `.replaced-${randomUUID()}`);
  if (typeof readCached(folder) === 'string') await rename(folder, replaced).catch(() => {});
  try {
    await rename(finished, folder);
  } catch (error) {
    if (typeof readCached(folder) === 'string') throw error;
  }
  await rm(replaced, { recursive: true, force: true });
}
