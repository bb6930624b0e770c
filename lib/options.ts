/** The options of the public API. Defaults are stated on each field. */
import type { DecodedFrame, GenerateProgress, LoadProgress, Notice } from './events.ts';
import type { SourceInput } from './hub/source.ts';

export type { SourceInput };

/** `cuda:N` picks one of several devices. `auto` takes CUDA when it can be used, and reports the choice. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

/**
 * Element type of the networks. `auto`: float16 on CUDA; on the CPU bfloat16 where the processor multiplies it
 * itself (AVX512-BF16, AMX), else float32.
 */
export type Dtype = 'auto' | 'float32' | 'bfloat16' | 'float16';

/**
 * What gives way where memory is short. `auto`: the fastest way that fits into what is free when a clip begins.
 * `low`: guidance in two halves, one frame decoded at a time, text encoder and VAE on the device only while they run.
 * `high`: the fastest way, smaller pieces only after memory ran out. Clips differ by rounding alone.
 */
export type MemoryMode = 'auto' | 'low' | 'high';

/** Order of `ad_memory_mode`. */
export const MEMORY_MODES = ['auto', 'low', 'high'] as const satisfies readonly MemoryMode[];

/**
 * Whose numbers are reproduced. They differ in where the motion module's GroupNorm takes its statistics
 * (per frame / over frames), in the ResNet norms of a v1 module (over frames / per frame) and in the last
 * DDIM step's alpha (1 / alphas_cumprod[0]).
 */
export type Compat = 'original' | 'diffusers';

/**
 * Generation of a motion module. `v1` and `v3` have the same tensors and differ in their norms; `lightning`
 * (AnimateDiff-Lightning) has those of `v2` and is told by its file name alone.
 */
export type MotionVersion = 'v1' | 'v2' | 'v3' | 'animatelcm' | 'lightning';

export interface MotionModuleOptions {
  /** `.ckpt`, `.safetensors`, or a diffusers MotionAdapter folder. */
  readonly path: SourceInput;
  /** Overrides the detected version; needed only where neither file nor name tells v1 from v3, or v2 from AnimateLCM or Lightning. */
  readonly version?: MotionVersion;
  /**
   * Steps that an AnimateDiff-Lightning module was distilled for: 1, 2, 4 or 8. Default: what its name
   * (`animatediff_lightning_4step_diffusers.safetensors`) says.
   */
  readonly steps?: number;
  /**
   * Strength of the motion, any finite number; 0 leaves the frames to the base model alone. Default 1. A module adds
   * x + scale · (W · h + b) for its last layer `proj_out`: W and b are multiplied while they are read, and sampling
   * costs nothing more. Position tables and norms stay.
   */
  readonly scale?: number;
}

/** An adapter of the LoRA kind; what it is for is detected. */
export interface LoraOptions {
  /** `.safetensors`, `.ckpt`, `.pt` or `.bin`. */
  readonly path: SourceInput;
  /** Any finite number, negative ones included. Default 1. */
  readonly scale?: number;
  /**
   * Apply `scale` alone instead of scale · alpha / rank, as AnimateDiff and mmagic do: their configurations need
   * it. Default false.
   */
  readonly ignoreAlpha?: boolean;
}

/** An adapter that is part of a pipeline. */
export interface AppliedLora {
  /** File name without folder. */
  readonly file: string;
  readonly scale: number;
  /** Only when it is true. */
  readonly ignoreAlpha?: boolean;
}

/** A textual inversion: vectors that a word of a prompt stands for. */
export interface EmbeddingOptions {
  /** `.safetensors`, `.pt` or `.bin`, as AUTOMATIC1111's web UI or diffusers saves it. */
  readonly path: SourceInput;
  /** The word. Default: the name of the file without its ending, and the name that is stored in it. */
  readonly token?: string;
}

/** A textual inversion that is part of a pipeline. */
export interface AppliedEmbedding {
  /** File name without folder. */
  readonly file: string;
  /** Words of a prompt that stand for it, in any case. */
  readonly triggers: readonly string[];
  /** Tokens that it takes in a prompt, 1 to 75. */
  readonly vectors: number;
}

export interface LoadOptions {
  /**
   * Stable Diffusion 1.5: an LDM `.safetensors` or `.ckpt`, a diffusers folder, or an archive written by
   * `bake`. Here and wherever else a model's file is named, a source that is fetched once works too:
   * `hf:owner/repo[@revision][/file]`, `civitai:<modelVersionId>`, `https://…#sha256=…`, or an address and its
   * hash as `{ url, sha256 }`.
   */
  readonly base: SourceInput;
  /**
   * Personalised (DreamBooth) checkpoint laid over `base`: its UNet, and its VAE and text encoder where it
   * has them. Not needed when `base` itself is the personalised checkpoint.
   */
  readonly checkpoint?: SourceInput;
  /**
   * A VAE of Stable Diffusion 1.x or 2.x, such as `vae-ft-mse-840000-ema-pruned.safetensors`, laid over that of base
   * and checkpoint: an LDM or diffusers file, or a diffusers folder. An SDXL VAE is refused where its folder's
   * config or its metadata says that it is one; its tensors do not tell.
   */
  readonly vae?: SourceInput;
  /** Without one, the pipeline is plain Stable Diffusion and makes single images. */
  readonly motionModule?: SourceInput | MotionModuleOptions;
  /**
   * LoRAs for UNet and text encoder, MotionLoRAs and domain adapters, as paths or with a scale each. They are
   * merged into the weights while those are read, so that sampling is as fast as without.
   */
  readonly loras?: readonly (SourceInput | LoraOptions)[];
  /**
   * Textual inversions, as paths or with a word each. They are used where a prompt or negative prompt has their
   * word, in any case, and cost nothing elsewhere.
   */
  readonly embeddings?: readonly (SourceInput | EmbeddingOptions)[];
  /** Default `auto`. */
  readonly device?: Device;
  /** Default `auto`. */
  readonly dtype?: Dtype;
  /** Default `auto`. */
  readonly memory?: MemoryMode;
  /** Default `original`. */
  readonly compat?: Compat;
  /** CPU threads of the engine. Default: the number of physical cores. */
  readonly threads?: number;
  /** Folder of a LibTorch to use instead of the one that is found. */
  readonly libtorch?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: LoadProgress) => void;
  /** Called once for each notice. */
  readonly onNotice?: (notice: Notice) => void;
}

/** Element types of networks, without `auto`. */
export const ENGINE_DTYPES = ['float32', 'bfloat16', 'float16'] as const satisfies readonly Dtype[];

/** Layouts of what `bake` writes. */
export const BAKE_LAYOUTS = ['torchscript', 'ldm', 'diffusers'] as const;

export type BakeLayout = (typeof BAKE_LAYOUTS)[number];

export interface BakeOptions {
  /**
   * `torchscript`: an archive with the graphs. `ldm`, `diffusers`: one `.safetensors` file with the names of that
   * layout, which other tools read as a Stable Diffusion checkpoint; motion modules are in it under names that
   * those pass over (`motion_module.`, `motion_adapter.`). Default: `ldm` for a file that ends in
   * `.safetensors`, else `torchscript`.
   */
  readonly layout?: BakeLayout;
  /**
   * Element type of the weights that are written. Another one than that of the pipeline needs room for the networks
   * in memory once more, and gives the file that a pipeline of this type would write. Default: that of the pipeline.
   */
  readonly dtype?: Exclude<Dtype, 'auto'>;
}

export type TimestepSpacing = 'leading' | 'linspace' | 'trailing';
export type BetaSchedule = 'linear' | 'scaled_linear';

export type PredictionType = 'epsilon' | 'v_prediction' | 'sample';

/** What all schedulers have: the noise that the networks were trained with. */
export interface NoiseOptions {
  /** Default `linear`: what motion modules were trained with. */
  readonly betaSchedule?: BetaSchedule;
  /** Default 0.00085. */
  readonly betaStart?: number;
  /** Default 0.012. */
  readonly betaEnd?: number;
  /** Default `epsilon`, or what the base's files say. */
  readonly predictionType?: PredictionType;
}

/** Which of the 1000 training timesteps are taken (Lin et al., arXiv 2305.08891, table 2). */
export interface SpacingOptions {
  /** Default `leading` for `ddim` and `pndm`, `linspace` for the others, as in diffusers. */
  readonly timestepSpacing?: TimestepSpacing;
  /** Added to the timesteps of `leading`. Default 1. */
  readonly stepsOffset?: number;
}

/** DDIM (Song et al. 2020, arXiv 2010.02502) as AnimateDiff configures it. */
export interface DdimOptions extends NoiseOptions, SpacingOptions {
  readonly name: 'ddim';
  /** 0 (deterministic, the default) to 1 (ancestral noise). */
  readonly eta?: number;
  /** Alpha of the last step is 1 instead of alphas_cumprod[0]. Default: true for `compat: 'original'`. */
  readonly setAlphaToOne?: boolean;
}

/** Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2 without churn). */
export interface EulerOptions extends NoiseOptions, SpacingOptions {
  readonly name: 'euler';
  /** Noise levels of equation (5) of the same paper, rho 7, between the first and the last. Default false. */
  readonly karrasSigmas?: boolean;
}

/** Euler's method with the noise of DDPM at every step but the last. `predictionType` is not `sample`. */
export interface EulerAncestralOptions extends NoiseOptions, SpacingOptions {
  readonly name: 'euler_a';
}

/** DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2). */
export interface DpmSolverOptions extends NoiseOptions, SpacingOptions {
  readonly name: 'dpm++_2m';
  /** Noise levels of Karras et al. over all training timesteps, whatever the spacing. Default false. */
  readonly karrasSigmas?: boolean;
}

/** Latent consistency sampling (Luo et al. 2023, arXiv 2310.04378), for networks that were distilled for it. */
export interface LcmOptions extends NoiseOptions {
  readonly name: 'lcm';
  /** Steps of the schedule that the network was distilled on, at least `steps`. Default 50; AnimateLCM: 100. */
  readonly originalInferenceSteps?: number;
}

/**
 * PLMS (Liu et al. 2022, arXiv 2202.09778) as Stable Diffusion takes it: one evaluation of the UNet more than
 * `steps`. `predictionType` is not `sample`.
 */
export interface PndmOptions extends NoiseOptions, SpacingOptions {
  readonly name: 'pndm';
  /** Alpha of the last step is 1 instead of alphas_cumprod[0]. Default false. */
  readonly setAlphaToOne?: boolean;
}

export type SchedulerOptions =
  | DdimOptions
  | EulerOptions
  | EulerAncestralOptions
  | DpmSolverOptions
  | LcmOptions
  | PndmOptions;

export type SchedulerName = SchedulerOptions['name'];

/** Spellings of other programs; `k_dpmpp_2m` and `DPM++ 2M Karras` are `dpm++_2m` with `karrasSigmas`. */
export type SchedulerAlias =
  | 'dpmpp_2m'
  | 'k_dpmpp_2m'
  | 'plms'
  | 'DDIM'
  | 'Euler'
  | 'Euler a'
  | 'DPM++ 2M'
  | 'DPM++ 2M Karras'
  | 'LCM'
  | 'PLMS';

export type Scheduler = SchedulerName | SchedulerAlias | SchedulerOptions;

/** Unsigned 64-bit seed: bigint, decimal string or safe integer; -1 draws one. */
export type Seed = bigint | number | string;

/**
 * Prompt travel: the text at key frames, by frame from 0. Frames between two keys get embeddings in between, frames
 * before the first and after the last one get theirs.
 */
export type PromptTravel = { readonly [frame: number]: string };

/** What to show, for all frames or by frame. */
export type Prompt = string | PromptTravel;

/**
 * `weighted`: the syntax of AUTOMATIC1111's web UI, prompts of any length. `plain`: everything is text, cut after 75
 * tokens, as AnimateDiff and diffusers take prompts.
 */
export type PromptSyntax = 'weighted' | 'plain';

/** `lerp`: on a straight line; `slerp`: on the great circle (Shoemake, SIGGRAPH 1985). */
export type PromptInterpolation = 'lerp' | 'slerp';

export interface GenerateOptions {
  /** One prompt, or a batch that is computed together. */
  readonly prompt: Prompt | readonly Prompt[];
  /** One for all, or one per prompt. Default: the empty prompt. */
  readonly negativePrompt?: Prompt | readonly Prompt[];
  /**
   * Default `weighted`: `(word)` × 1.1, `((word))` × 1.21, `(word:1.3)` × 1.3, `[word]` ÷ 1.1, `\(` for a bracket,
   * `BREAK` for a new chunk. Embeddings are multiplied after the encoder's final norm, and each chunk is scaled back
   * to its mean. Prompts are encoded in chunks of 75 tokens, split after a comma among the last 20 where there is one;
   * all prompts and negative prompts of a call get the same number of chunks.
   */
  readonly promptSyntax?: PromptSyntax;
  /** Put before every prompt, followed by a comma; most useful where prompts change. Default: nothing. */
  readonly promptHead?: string;
  /** Put behind every prompt, after a comma. Default: nothing. */
  readonly promptTail?: string;
  /** Between the key frames of prompts that change. Default `lerp`, as in diffusers. */
  readonly promptInterpolation?: PromptInterpolation;
  /**
   * The layer of the text encoder whose output is used, counted from its end as in AUTOMATIC1111's web UI: 1, the
   * default, is the last one; 2 leaves out one layer (diffusers' `clip_skip: 1`), up to the number of layers (12 for
   * SD 1.5). The final norm follows in any case.
   */
  readonly clipSkip?: number;
  /** Default 16 with a motion module, 1 without. */
  readonly frames?: number;
  /** Pixels, a multiple of 8. Default: the model's own size (512 for SD 1.5). */
  readonly width?: number;
  /** Pixels, a multiple of 8. Default: the model's own size (512 for SD 1.5). */
  readonly height?: number;
  /** Default 25; with AnimateLCM 4, with AnimateDiff-Lightning its own number. */
  readonly steps?: number;
  /** Classifier-free guidance, on when above 1. Default 7.5; with AnimateLCM 1.5, with AnimateDiff-Lightning 1. */
  readonly guidanceScale?: number;
  /**
   * Share of the steps with guidance, 0 to 1; the rest, at the end, takes half as long each and goes without. Default
   * 1. An approximation: README.md says what it costs.
   */
  readonly guidanceEnd?: number;
  /**
   * The whole UNet runs in every such step; in the others its last layer alone takes up the features of the step before
   * (DeepCache, arXiv 2312.00858). 1 (the default) to 100. An approximation: README.md says what it costs.
   */
  readonly deepCache?: number;
  /**
   * Default `ddim`; with AnimateLCM `lcm` (`originalInferenceSteps: 100`), with AnimateDiff-Lightning `euler`
   * (`timestepSpacing: 'trailing'`). Options of the same scheduler are laid over those.
   */
  readonly scheduler?: Scheduler;
  /** One for all, or one per prompt. Default -1. */
  readonly seed?: Seed | readonly Seed[];
  /** Ask for a preview with each sampling step. Default false. */
  readonly preview?: boolean;
  /**
   * Called with each frame as soon as it is decoded, in order, clip after clip, before the promise resolves. Not called
   * again after an abort.
   */
  readonly onFrame?: (frame: DecodedFrame) => void;
  /** Aborts within one sampling step; the promise rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: GenerateProgress) => void;
}

/** Everything that made a clip; what `save` writes into the file's metadata. */
export interface ClipParameters {
  /** With head and tail; `0: a cat | 8: a dog` when it changes. */
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Texts by frame; absent for a prompt that does not change. */
  readonly promptTravel?: PromptTravel;
  readonly negativePromptTravel?: PromptTravel;
  /** Only when prompts change. */
  readonly promptInterpolation?: PromptInterpolation;
  /** Absent for `weighted`. */
  readonly promptSyntax?: PromptSyntax;
  /** Absent for 1. */
  readonly clipSkip?: number;
  /** Decimal digits of the unsigned 64-bit seed. */
  readonly seed: string;
  readonly steps: number;
  readonly guidanceScale: number;
  /** Absent for 1. */
  readonly guidanceEnd?: number;
  /** Absent for 1. */
  readonly deepCache?: number;
  readonly scheduler: string;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly base?: string;
  readonly checkpoint?: string;
  readonly vae?: string;
  readonly motionModule?: string;
  /** Absent when it is 1. */
  readonly motionScale?: number;
  /** Absent without any. */
  readonly loras?: readonly AppliedLora[];
  /** Absent without any. */
  readonly embeddings?: readonly AppliedEmbedding[];
  readonly compat: Compat;
  readonly dtype: string;
  readonly device: string;
  /** Name and version of this package. */
  readonly software: string;
}
