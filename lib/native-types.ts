/** The exact types of the native addon. `native.ts` is the only module that calls it. */

/** A device that LibTorch can use in this process. Bytes are 0 where they are not known. */
export interface DeviceInfo {
  readonly kind: 'cpu' | 'cuda';
  readonly index: number;
  readonly name: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** A tensor that the engine returned, row-major. */
export interface NativeTensor<Data = Float32Array | Uint8Array | BigInt64Array> {
  readonly shape: readonly number[];
  readonly data: Data;
}

/** A tensor given to {@link NativeEngine.forward}. */
export interface NativeInput {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** `ad_scheduler` of the C interface, enumerations as numbers. */
export interface NativeScheduler {
  readonly kind: number;
  readonly betas: number;
  readonly betaStart: number;
  readonly betaEnd: number;
  readonly spacing: number;
  readonly steps: number;
  readonly stepsOffset: number;
  readonly setAlphaToOne: boolean;
  readonly prediction: number;
  readonly eta: number;
  readonly karrasSigmas: boolean;
  readonly originalInferenceSteps: number;
}

/** `ad_blend` of the C interface: the text of a frame between two texts. */
export interface NativeBlend {
  readonly from: number;
  readonly to: number;
  /** 0 at `from`, 1 at `to`. */
  readonly position: number;
}

/** `ad_prompts` of the C interface. */
export interface NativePrompts {
  /** Row-major [texts, chunks, tokens]. */
  readonly ids: Int32Array;
  /** Row-major [texts, chunks, tokens]; absent when all are 1. */
  readonly weights?: Float32Array;
  readonly texts: number;
  /** Row-major [batch, frames]; absent when text i is that of clip i. */
  readonly frames?: readonly NativeBlend[];
}

/** `ad_request` of the C interface. */
export interface NativeRequest {
  readonly batch: number;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly vaeScaleFactor: number;
  readonly vaeScalingFactor: number;
  readonly latentChannels: number;
  readonly prompts: NativePrompts;
  readonly negatives: NativePrompts;
  readonly chunks: number;
  readonly tokens: number;
  readonly layersSkipped: number;
  /** 0: lerp, 1: slerp. */
  readonly interpolation: number;
  readonly guidanceScale: number;
  readonly guidanceEnd: number;
  readonly deepCache: number;
  readonly scheduler: NativeScheduler;
  readonly seeds: BigUint64Array;
  readonly normOverFrames: boolean;
  readonly motionNormOverFrames: boolean;
  readonly preview: boolean;
  /** Frames come with the reports of decoding, too. */
  readonly deliverFrames?: boolean;
  readonly keepFloats: boolean;
  /** Bytes that the host can still give to this process; absent where that does not matter. */
  readonly hostFree?: number;
}

/** What `generate` returns: `frames` always, the float tensors when `keepFloats` was set. */
export interface NativeClips {
  /** uint8 [batch, frames, height, width, 3]. */
  readonly frames: NativeTensor<Uint8Array>;
  /**
   * float32 text embeddings [2 * batch, chunks * tokens, width], the negative half first, or [batch, …] without
   * guidance; with prompts that change [… * frames, …].
   */
  readonly text?: NativeTensor<Float32Array>;
  /** float32 [batch, channels, frames, height / 8, width / 8], before division by the scaling factor. */
  readonly latents?: NativeTensor<Float32Array>;
  /** float32 [batch, frames, height, width, 3] in 0..1. */
  readonly pictures?: NativeTensor<Float32Array>;
}

/** Phases in the order of `ad_phase`. */
export const NATIVE_PHASES = ['text', 'sample', 'decode', 'weights'] as const;

/**
 * Called on the JavaScript thread; must not throw. Pictures are a preview while sampling, and frames up to number
 * `done` while decoding.
 */
export type NativeProgress = (
  phase: number,
  done: number,
  total: number,
  pictures?: { data: Uint8Array; frames: number; height: number; width: number },
) => void;

/** Called on the JavaScript thread with a stable code and a sentence; must not throw. */
export type NativeNotice = (code: string, message: string) => void;

/** Bytes; the peaks are those of the process. */
export interface NativeMemory {
  readonly weights: number;
  /** Most that the device's allocator has held; 0 on the CPU. */
  readonly devicePeak: number;
  /** Most that large tensors on the host have taken. */
  readonly hostPeak: number;
  /** What tensors take now: on the device (0 on the CPU), and large ones on the host. */
  readonly deviceHeld: number;
  readonly hostHeld: number;
  /** Of the last clips: rows of the batch that the UNet computed at once and all of them; 0 before. */
  readonly rowsAtOnce: number;
  readonly rows: number;
  readonly framesDecoded: number;
  /** `ad_offload`. */
  readonly offload: number;
}

/** What LibTorch was asked for, on all threads of the process. */
export interface WorkCount {
  /** Calls through LibTorch's dispatcher, those that operators make among them included. */
  readonly operators: number;
  /** Tensors that were given memory on the host, and their bytes. */
  readonly allocations: number;
  readonly bytes: number;
}

/** What {@link RawAddon.runScheduler} returns, both [timesteps, batch, …]. */
export interface SchedulerRun {
  /** After each step. */
  readonly samples: NativeTensor<Float32Array>;
  /** What the network would be given at each step. */
  readonly inputs: NativeTensor<Float32Array>;
}

export interface RawSource {
  readonly file: string;
  readonly offset: number;
  readonly dtype: number;
  readonly shape: readonly number[];
  readonly strides?: readonly number[];
}

export interface RawTerm {
  readonly kind: number;
  readonly factors: readonly (RawSource | undefined)[];
  readonly scale: number;
  readonly ratio: number;
  readonly alpha?: RawSource;
  readonly magnitude?: RawSource;
  readonly magnitudeAxis: number;
}

export interface RawRecipe {
  readonly kind: number;
  readonly target: string;
  readonly shape: readonly number[];
  readonly source?: RawSource;
  readonly terms?: readonly RawTerm[];
  readonly factor: number;
  readonly appended?: readonly RawSource[];
}

export interface RawEngine {
  bind(
    role: number,
    graph: string,
    recipes: readonly RawRecipe[],
    progress?: NativeProgress,
    notice?: NativeNotice,
  ): Promise<void>;
  rebind(role: number, recipes: readonly RawRecipe[], progress?: NativeProgress): Promise<void>;
  bake(file: string, metadata: string): Promise<void>;
  generate(request: NativeRequest, progress?: NativeProgress, notice?: NativeNotice): Promise<NativeClips>;
  forward(
    role: number,
    tensors: readonly NativeInput[],
    integers: readonly number[],
  ): Promise<{ output: NativeTensor<Float32Array> }>;
  memory(): Promise<NativeMemory>;
  cancel(): void;
  close(): Promise<void>;
}

export interface RawAddon {
  readonly libtorchVersion: string;
  open(libraries: readonly string[], engine: string): string | undefined;
  opened(): string[];
  cudaDeviceCount(): number;
  cudaKernelsProblem(index: number): string;
  cpuMultipliesBfloat16(): boolean;
  devices(): DeviceInfo[];
  cpuCapability(): string;
  countWork(enabled: boolean): WorkCount;
  limitHostMemory(bytes: number): void;
  timesteps(scheduler: NativeScheduler): { timesteps: NativeTensor<Float32Array> };
  runScheduler(
    scheduler: NativeScheduler,
    tensors: readonly [sample: NativeInput, outputs: NativeInput],
    seeds: BigUint64Array,
  ): SchedulerRun;
  readonly Engine: new (options: {
    device: number;
    deviceIndex: number;
    dtype: number;
    threads: number;
    plain: number;
    memory: number;
  }) => RawEngine;
}
