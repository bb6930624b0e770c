/**
 * The only module that touches the native addon. It types the raw module exactly, opens LibTorch and the
 * engine, and turns native failures into {@link AnimateDiffError}.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AnimateDiffError, type ErrorCode } from './errors.ts';
import { findLibTorch, type LibTorchInfo } from './libtorch/find.ts';
import type {
  DeviceInfo,
  NativeClips,
  NativeInput,
  NativeMemory,
  NativeNotice,
  NativeProgress,
  NativeRequest,
  NativeScheduler,
  NativeTensor,
  RawAddon,
  RawEngine,
  RawRecipe,
  RawSource,
  RawTerm,
  SchedulerRun,
  WorkCount,
} from './native-types.ts';
import { type Device, MEMORY_MODES, type MemoryMode } from './options.ts';
import type { AdapterTerm, DType, Recipe, Role, TensorSource, TermKind } from './weights/types.ts';

export type {
  DeviceInfo,
  NativeBlend,
  NativeClips,
  NativeInput,
  NativeMemory,
  NativeNotice,
  NativeProgress,
  NativePrompts,
  NativeRequest,
  NativeScheduler,
  NativeTensor,
} from './native-types.ts';
export { NATIVE_PHASES } from './native-types.ts';

const require = createRequire(import.meta.url);
const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

// Order of `ad_status`.
const STATUS_CODES: readonly ErrorCode[] = [
  'ERR_ENGINE',
  'ERR_INVALID_ARGUMENT',
  'ERR_FILE_NOT_FOUND',
  'ERR_FILE_CORRUPT',
  'ERR_WEIGHTS_MISSING',
  'ERR_WEIGHTS_SHAPE',
  'ERR_WEIGHTS_NOT_FINITE',
  'ERR_NOT_FINITE',
  'ERR_OUT_OF_MEMORY',
  'ERR_DEVICE_UNAVAILABLE',
  'ERR_ENGINE',
  'ERR_OUTPUT',
  'ERR_ENGINE',
];

/** `ad_status` of a call that was cancelled. */
const STATUS_ABORTED = 10;

// Order of `ad_dtype` and `ad_role`.
const DTYPES: readonly DType[] = [
  'F64',
  'F32',
  'F16',
  'BF16',
  'F8_E4M3',
  'F8_E5M2',
  'I64',
  'I32',
  'I16',
  'I8',
  'U8',
  'BOOL',
];
const ROLES: readonly Role[] = ['text_encoder', 'unet', 'vae_decoder', 'vae_encoder'];

// Order of `ad_term_kind`.
const TERM_KINDS: readonly TermKind[] = ['low_rank', 'hadamard', 'kronecker', 'difference'];

const ENGINE_DTYPES = { float32: 1, float16: 2, bfloat16: 3 } as const;

/** Thrown when a call ended because of {@link NativeEngine.cancel}; callers reject with the signal's reason. */
export class NativeAbort extends Error {}

let addon: RawAddon | undefined;

/** Path of the addon, in a packaged Electron app outside of the asar archive. */
export function addonPath(): string {
  try {
    const nodeGypBuild = require('node-gyp-build') as { resolve(folder: string): string };
    return nodeGypBuild.resolve(packageRoot).replace(/\.asar([\\/])/, '.asar.unpacked$1');
  } catch (cause) {
    throw new AnimateDiffError(
      'ERR_NATIVE_NOT_FOUND',
      `This package has no native files for ${process.platform}-${process.arch}. Build them with ` +
        '`npm run build` in a checkout, or reinstall animatediff-native.',
      { cause },
    );
  }
}

/** Path of the engine library beside the addon. */
export function enginePath(): string {
  const file = path.join(path.dirname(addonPath()), 'libanimatediff.so');
  if (!existsSync(file)) {
    throw new AnimateDiffError(
      'ERR_NATIVE_NOT_FOUND',
      `The engine ${file} is missing. Reinstall animatediff-native.`,
    );
  }
  return file;
}

/** The addon itself, which needs no LibTorch. */
function loadAddon(): RawAddon {
  if (addon !== undefined) return addon;
  const file = addonPath();
  try {
    addon = require(file) as RawAddon;
    return addon;
  } catch (cause) {
    throw new AnimateDiffError(
      'ERR_PLATFORM',
      `The native file ${file} does not load on this system: ${(cause as Error).message}. It may have been built ` +
        'for a newer C library; build it here with `npm run build` in a checkout.',
      { cause, details: { file } },
    );
  }
}

/** Version of LibTorch that the native files were compiled for, such as `2.13.0`. */
export function compiledLibTorchVersion(): string {
  return loadAddon().libtorchVersion;
}

let opened: LibTorchInfo | undefined;

/** CUDA libraries are open in this process. */
function cudaIsOpen(): boolean {
  return loadAddon()
    .opened()
    .some((library) => path.basename(library).startsWith('libtorch_cuda'));
}

/**
 * Opens LibTorch and the engine, once per process; later calls check that what they ask for is what is open.
 * When the first call says `device: 'cpu'`, CUDA stays closed for the life of the process: LibTorch asks for it
 * only once.
 */
export function openEngine(options: { libtorch?: string; device?: Device } = {}): LibTorchInfo {
  if (opened === undefined || options.libtorch !== undefined) {
    const info = findLibTorch({
      libtorch: options.libtorch,
      // A process that is open for the CPU can only be asked for the same again.
      device: loadAddon().opened().length > 0 ? 'cpu' : options.device,
      purpose: 'run',
      compiledFor: compiledLibTorchVersion(),
    });
    const failure = loadAddon().open(info.libraries, enginePath());
    if (failure !== undefined) {
      throw new AnimateDiffError('ERR_ENGINE', `LibTorch or the engine cannot be opened: ${failure}.`, {
        details: { libtorch: info.root },
      });
    }
    opened = info;
  }
  if (options.device?.startsWith('cuda') && !cudaIsOpen()) {
    throw new AnimateDiffError(
      'ERR_DEVICE_UNAVAILABLE',
      'CUDA was asked for, but this process opened LibTorch for the CPU only, with its first pipeline. Ask for ' +
        "'cuda' or 'auto' first, or use another process.",
    );
  }
  return opened;
}

/** Whether the processor multiplies bfloat16 itself, so that it is faster than float32. */
export function cpuMultipliesBfloat16(): boolean {
  return loadAddon().cpuMultipliesBfloat16();
}

/** CUDA devices that answer; 0 when CUDA is not open. */
export function cudaDeviceCount(): number {
  return loadAddon().cudaDeviceCount();
}

/** Why this package's own CUDA kernels do not run on a device, where LibTorch's do the work; '' when they run. */
export function cudaKernelsProblem(index: number): string {
  return loadAddon().cudaKernelsProblem(index);
}

/** Devices of the opened engine, the CPU first. */
export function devices(): readonly DeviceInfo[] {
  return loadAddon().devices();
}

/** Instruction set of LibTorch's CPU kernels, such as `AVX512`. */
export function cpuCapability(): string {
  return loadAddon().cpuCapability();
}

/** What was counted since the last call. Counting goes on from zero, or ends, as it is when a process begins. */
export function countWork(enabled: boolean): WorkCount {
  return translateSync(() => loadAddon().countWork(enabled));
}

/**
 * Large tensors on the host, of all pipelines of this process, take at most so many bytes; what would exceed them is
 * out of memory. 0: as many as the system gives. For tests of what then happens.
 */
export function limitHostMemory(bytes: number): void {
  loadAddon().limitHostMemory(bytes);
}

/** Timesteps of a scheduler in the order they are visited. */
export function timesteps(scheduler: NativeScheduler): readonly number[] {
  return translateSync(() => Array.from(loadAddon().timesteps(scheduler).timesteps.data));
}

/**
 * A scheduler alone: from standard normal noise [batch, …] through given network outputs [timesteps, batch, …] to
 * the samples after each step. One seed per clip, for schedulers that add noise.
 */
export function runScheduler(
  scheduler: NativeScheduler,
  sample: NativeInput,
  outputs: NativeInput,
  seeds: readonly bigint[],
): SchedulerRun {
  return translateSync(() =>
    loadAddon().runScheduler(scheduler, [sample, outputs], BigUint64Array.from(seeds)),
  );
}

function toError(error: unknown): unknown {
  if (!(error instanceof Error) || !('status' in error)) return error;
  const { status, detail } = error as Error & { status: number; detail?: string };
  if (status === STATUS_ABORTED) return new NativeAbort(error.message);
  return new AnimateDiffError(STATUS_CODES[status] ?? 'ERR_ENGINE', error.message, {
    cause: detail ? new Error(detail) : undefined,
  });
}

function translateSync<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw toError(error);
  }
}

async function translate<T>(body: Promise<T>): Promise<T> {
  try {
    return await body;
  } catch (error) {
    throw toError(error);
  }
}

function rawSource(source: TensorSource): RawSource;
function rawSource(source: TensorSource | undefined): RawSource | undefined;
function rawSource(source: TensorSource | undefined): RawSource | undefined {
  return source && { ...source, dtype: DTYPES.indexOf(source.dtype) };
}

function rawTerm({ kind, factors, scale, ratio, alpha, magnitude }: AdapterTerm): RawTerm {
  return {
    kind: TERM_KINDS.indexOf(kind),
    factors: factors.map((factor) => rawSource(factor)),
    scale,
    ratio,
    alpha: rawSource(alpha),
    magnitude: rawSource(magnitude?.source),
    magnitudeAxis: magnitude?.axis ?? 0,
  };
}

function rawRecipe(recipe: Recipe): RawRecipe {
  return {
    kind: recipe.kind === 'copy' ? 0 : 1,
    target: recipe.target,
    shape: recipe.shape,
    source: rawSource(recipe.source),
    terms: recipe.kind === 'copy' ? recipe.terms?.map(rawTerm) : undefined,
    factor: recipe.kind === 'copy' ? (recipe.factor ?? 1) : 1,
    appended: recipe.kind === 'copy' ? recipe.appended?.map((source) => rawSource(source)) : undefined,
  };
}

/** One engine with a thread of its own. Calls run one after the other, in the order they were made. */
export class NativeEngine {
  readonly #raw: RawEngine;

  constructor(options: {
    device: 'cpu' | 'cuda';
    deviceIndex: number;
    dtype: 'float32' | 'float16' | 'bfloat16';
    threads: number;
    /** Networks run as their archives say, without what makes them fast on the CPU. */
    plain?: boolean;
    /** Default `auto`. */
    memory?: MemoryMode;
  }) {
    const raw = {
      device: options.device === 'cuda' ? 1 : 0,
      deviceIndex: options.deviceIndex,
      dtype: ENGINE_DTYPES[options.dtype],
      threads: options.threads,
      plain: options.plain === true ? 1 : 0,
      memory: MEMORY_MODES.indexOf(options.memory ?? 'auto'),
    };
    this.#raw = translateSync(() => new (loadAddon().Engine)(raw));
  }

  /** Loads the graph archive for `role` and fills all of its parameters. Progress is in bytes. */
  bind(
    role: Role,
    graph: string,
    recipes: readonly Recipe[],
    progress?: NativeProgress,
    notice?: NativeNotice,
  ): Promise<void> {
    return translate(this.#raw.bind(ROLES.indexOf(role), graph, recipes.map(rawRecipe), progress, notice));
  }

  /**
   * Fills some parameters of a bound network anew. Those before a failure keep their new values: bind them
   * again to what they were.
   */
  rebind(role: Role, recipes: readonly Recipe[], progress?: NativeProgress): Promise<void> {
    return translate(this.#raw.rebind(ROLES.indexOf(role), recipes.map(rawRecipe), progress));
  }

  /** Writes all bound networks and `metadata` (JSON) as one TorchScript archive. */
  bake(file: string, metadata: string): Promise<void> {
    return translate(this.#raw.bake(file, metadata));
  }

  generate(request: NativeRequest, progress?: NativeProgress, notice?: NativeNotice): Promise<NativeClips> {
    return translate(this.#raw.generate(request, progress, notice));
  }

  /** Runs one network; integers follow the tensors as the graph's `forward` takes them. */
  async forward(
    role: Role,
    tensors: readonly NativeInput[],
    integers: readonly number[] = [],
  ): Promise<NativeTensor<Float32Array>> {
    return (await translate(this.#raw.forward(ROLES.indexOf(role), tensors, integers))).output;
  }

  /** Answers after the calls before it. */
  memory(): Promise<NativeMemory> {
    return translate(this.#raw.memory());
  }

  /** Ends the call that is running with {@link NativeAbort}. */
  cancel(): void {
    this.#raw.cancel();
  }

  /** Frees the networks and ends the thread. */
  close(): Promise<void> {
    return translate(this.#raw.close());
  }
}
