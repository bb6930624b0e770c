/**
 * Finds the LibTorch to run or to build with, in this order: the option, `ANIMATEDIFF_LIBTORCH` or
 * `LIBTORCH`, the cache that `animatediff-native install` fills, the torch of Python. Loads nothing.
 */
import path from 'node:path';
import { type Environment, readEnvironment } from '../environment.ts';
import { AnimateDiffError, type ErrorCode } from '../errors.ts';
import type { Device } from '../options.ts';
import { cachedLibTorches, libtorchCache } from './cache.ts';
import { type NvidiaDriver, nvidiaDriver } from './nvidia.ts';
import { assertPlatform } from './platform.ts';
import { pythonTorch } from './python.ts';
import { CPU_LIBRARIES, CUDA_LIBRARIES, type LibTorchTree, openTree } from './tree.ts';
import { BUILD_MINORS, LIBTORCH_VERSION, minorOf } from './versions.ts';

/** Which of the places a LibTorch came from. */
export type LibTorchSource = 'option' | 'ANIMATEDIFF_LIBTORCH' | 'LIBTORCH' | 'cache' | 'python';

/** A LibTorch that fits, and how to open it. */
export interface LibTorchInfo {
  /** Folder that holds `lib/` and `include/`. */
  readonly root: string;
  readonly libFolder: string;
  /** Absolute paths, in the order in which they must be opened; those of CUDA only where CUDA is wanted. */
  readonly libraries: readonly string[];
  /** As LibTorch names itself: `2.13.0+cpu`. */
  readonly version: string;
  /** It is a CUDA build. */
  readonly cuda: boolean;
  readonly source: LibTorchSource;
}

export interface FindOptions {
  /** Folder to use and no other: a LibTorch, or a folder that holds one in `torch/` or `libtorch/`. */
  readonly libtorch?: string;
  /** Default `auto`: a CUDA build where there is an NVIDIA driver, if one is installed. */
  readonly device?: Device;
  /** `build` needs the headers and allows every version that the sources compile against. */
  readonly purpose: 'run' | 'build';
  /** Version that the engine was compiled for; default: that of the prebuilt engine. Only for `run`. */
  readonly compiledFor?: string;
}

/** What the machine offers; another value only in tests. */
export interface FindContext {
  readonly environment: Environment;
  readonly driver: NvidiaDriver;
}

interface Place {
  readonly source: LibTorchSource;
  readonly label: string;
  readonly folder: string;
}

/** Why a place was not taken. */
interface Rejection {
  readonly code: Extract<
    ErrorCode,
    'ERR_LIBTORCH_NOT_FOUND' | 'ERR_LIBTORCH_VERSION' | 'ERR_DEVICE_UNAVAILABLE'
  >;
  readonly reason: string;
}

/**
 * The first LibTorch that fits.
 *
 * @throws ERR_PLATFORM on systems without LibTorch (musl, macOS, …); ERR_LIBTORCH_NOT_FOUND when there is
 * none, with every place that was looked at; ERR_LIBTORCH_VERSION when there are only others than the
 * engine needs; ERR_DEVICE_UNAVAILABLE when `cuda` is asked for and there are only CPU builds. An option or
 * variable that names a wrong folder is an error, even if a later place has a LibTorch.
 */
export function findLibTorch(options: FindOptions, context: Partial<FindContext> = {}): LibTorchInfo {
  assertPlatform();
  const environment = context.environment ?? readEnvironment();
  const driver = context.driver ?? nvidiaDriver();
  const explicit = explicitPlace(options, environment);
  if (explicit !== undefined) {
    const tree = examine(explicit, options);
    if ('reason' in tree) throw explicitFailure(explicit, tree, options);
    return describe(tree, explicit.source, options, driver);
  }
  return findImplicit(options, environment, driver);
}

function explicitPlace({ libtorch }: FindOptions, environment: Environment): Place | undefined {
  if (libtorch !== undefined) {
    return { source: 'option', label: 'The option `libtorch`', folder: path.resolve(libtorch) };
  }
  const { libtorch: variable } = environment;
  return variable && { source: variable.variable, label: variable.variable, folder: variable.folder };
}

function findImplicit(options: FindOptions, environment: Environment, driver: NvidiaDriver): LibTorchInfo {
  const cudaFirst = wantsCuda(options.device, driver);
  const rejections: Rejection[] = [
    { code: 'ERR_LIBTORCH_NOT_FOUND', reason: 'option `libtorch`: not given' },
    { code: 'ERR_LIBTORCH_NOT_FOUND', reason: 'ANIMATEDIFF_LIBTORCH and LIBTORCH: not set' },
  ];
  let fallback: LibTorchInfo | undefined;
  for (const place of implicitPlaces(environment, cudaFirst, rejections)) {
    const tree = examine(place, options);
    if ('reason' in tree) {
      rejections.push({ ...tree, reason: `${place.label}: ${tree.reason}` });
      continue;
    }
    const info = describe(tree, place.source, options, driver);
    if (info.cuda || !cudaFirst) return info;
    fallback ??= info;
  }
  if (fallback === undefined) throw implicitFailure(rejections, options);
  return fallback;
}

/** The cache, then Python, which is only asked when the cache was not enough. */
function* implicitPlaces(
  environment: Environment,
  cudaFirst: boolean,
  rejections: Rejection[],
): Generator<Place, void> {
  const { found, damaged } = cachedLibTorches(environment.cacheFolder);
  const label = `cache ${libtorchCache(environment.cacheFolder)}`;
  const reject = (reason: string) => rejections.push({ code: 'ERR_LIBTORCH_NOT_FOUND', reason });
  for (const problem of damaged) reject(`${label}: ${problem}`);
  if (found.length + damaged.length === 0) reject(`${label}: empty`);
  const rank = (device: 'cpu' | 'cuda') => Number((device === 'cuda') !== cudaFirst);
  for (const { folder } of [...found].sort((a, b) => rank(a.manifest.device) - rank(b.manifest.device))) {
    yield { source: 'cache', label, folder };
  }
  const python = pythonTorch(environment.python);
  if ('problem' in python) reject(`Python: ${python.problem}`);
  else yield { source: 'python', label: `torch of ${python.interpreter}`, folder: python.folder };
}

function wantsCuda(device: Device | undefined, driver: NvidiaDriver): boolean {
  return device === 'cpu' ? false : (device ?? 'auto') === 'auto' ? driver.present : true;
}

function examine(place: Place, options: FindOptions): LibTorchTree | Rejection {
  const tree = openTree(place.folder);
  if (typeof tree === 'string') return { code: 'ERR_LIBTORCH_NOT_FOUND', reason: tree };
  if (!minors(options).includes(minorOf(tree.version))) {
    const needed =
      options.purpose === 'build' ? 'the sources compile against' : 'the engine was compiled for';
    return {
      code: 'ERR_LIBTORCH_VERSION',
      reason: `${tree.root} is LibTorch ${tree.version}, and ${needed} ${minors(options).join(' or ')}`,
    };
  }
  if (options.purpose === 'build' && !tree.headers) {
    return { code: 'ERR_LIBTORCH_NOT_FOUND', reason: `${tree.root} has no headers (include/torch/script.h)` };
  }
  if (options.device?.startsWith('cuda') && !tree.cuda) {
    return { code: 'ERR_DEVICE_UNAVAILABLE', reason: `${tree.root} is the CPU build ${tree.version}` };
  }
  return tree;
}

function describe(
  tree: LibTorchTree,
  source: LibTorchSource,
  { device }: FindOptions,
  driver: NvidiaDriver,
): LibTorchInfo {
  const { root, libFolder, version, cuda } = tree;
  const names = cuda && wantsCuda(device, driver) ? [...CPU_LIBRARIES, ...CUDA_LIBRARIES] : CPU_LIBRARIES;
  const libraries = names.map((name) => path.join(libFolder, name));
  return { root, libFolder, libraries, version, cuda, source };
}

const SUMMARIES: Readonly<Record<Rejection['code'], (version: string) => string>> = {
  ERR_LIBTORCH_NOT_FOUND: () => 'No LibTorch was found.',
  ERR_LIBTORCH_VERSION: (version) => `No LibTorch ${version} was found, only other versions.`,
  ERR_DEVICE_UNAVAILABLE: () => 'CUDA was asked for, and no CUDA build of LibTorch was found.',
};

/** The gravest finding names the error: a CPU build that fits otherwise, then a version, then nothing. */
const GRAVITY = ['ERR_DEVICE_UNAVAILABLE', 'ERR_LIBTORCH_VERSION', 'ERR_LIBTORCH_NOT_FOUND'] as const;

function implicitFailure(rejections: readonly Rejection[], options: FindOptions): AnimateDiffError {
  const code = GRAVITY.find((candidate) => rejections.some((rejection) => rejection.code === candidate));
  const { version, command } = remedy(options);
  const places = rejections.map(({ reason }) => reason);
  const message = [
    `${SUMMARIES[code ?? 'ERR_LIBTORCH_NOT_FOUND'](version)} Looked at:`,
    ...places.map((place) => `  - ${place}`),
    `Run \`${command}\`, or set ANIMATEDIFF_LIBTORCH to the folder of a LibTorch ${version}.`,
  ].join('\n');
  return new AnimateDiffError(code ?? 'ERR_LIBTORCH_NOT_FOUND', message, {
    details: { version, command, places },
  });
}

function explicitFailure(place: Place, { code, reason }: Rejection, options: FindOptions): AnimateDiffError {
  const { version, command } = remedy(options);
  const message = `${place.label}: ${reason}. Name the folder of a LibTorch ${version}, or leave it away and run \`${command}\`.`;
  return new AnimateDiffError(code, message, { details: { version, command, places: [reason] } });
}

function remedy(options: FindOptions): { readonly version: string; readonly command: string } {
  const flag = options.device?.startsWith('cuda') ? ' --device cuda' : '';
  return { version: minors(options).join(' or '), command: `npx animatediff-native install${flag}` };
}

/** Minor versions that fit. */
function minors({ purpose, compiledFor }: FindOptions): readonly string[] {
  return purpose === 'build' ? BUILD_MINORS : [minorOf(compiledFor ?? LIBTORCH_VERSION)];
}
