/** The options of the public API and the events it reports. Defaults are stated on each field. */
import type { SourceInput } from './hub/source.ts';

export type { SourceInput };

/** `cuda:N` picks one of several devices. `auto` takes CUDA when it can be used, and reports the choice. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

/** Element type of the networks. `auto`: float32 on the CPU, float16 on CUDA. */
export type Dtype = 'auto' | 'float32' | 'bfloat16' | 'float16';

/**
 * Whose numbers are reproduced. They differ in where the motion module's GroupNorm takes its statistics
 * (per frame / over frames), in the ResNet norms of a v1 module (over frames / per frame) and in the last
 * DDIM step's alpha (1 / alphas_cumprod[0]).
 */
export type Compat = 'original' | 'diffusers';

/** Generation of a motion module. `v1` and `v3` have the same tensors and differ in their norms. */
export type MotionVersion = 'v1' | 'v2' | 'v3' | 'animatelcm';

/** Reports how loading goes on. */
export interface LoadProgress {
  readonly phase: 'download' | 'plan' | 'weights';
  /** Name of the file that is being fetched (`download`). */
  readonly file?: string;
  /** Network that is being filled. */
  readonly role?: 'text_encoder' | 'unet' | 'vae_decoder' | 'vae_encoder';
  /** Bytes fetched of this file, or read over all networks; so far and in total, 0 where that is not known. */
  readonly done: number;
  readonly total: number;
}

/** Something a user should know that is not an error: kept networks, truncated prompts, chosen versions. */
export interface Notice {
  /** Stable identifier such as `prompt-truncated`. */
  readonly code: string;
  readonly message: string;
}

export interface MotionModuleOptions {
  /** `.ckpt`, `.safetensors`, or a diffusers MotionAdapter folder. */
  readonly path: SourceInput;
  /** Overrides the detected version; needed only where the file does not tell v1 from v3. */
  readonly version?: MotionVersion;
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
  /** Default `auto`. */
  readonly device?: Device;
  /** Default `auto`. */
  readonly dtype?: Dtype;
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
}

export type TimestepSpacing = 'leading' | 'linspace' | 'trailing';
export type BetaSchedule = 'linear' | 'scaled_linear';

/** DDIM (Song et al. 2020, arXiv 2010.02502) as AnimateDiff configures it. */
export interface DdimOptions {
  readonly name: 'ddim';
  /** Default `leading`. */
  readonly timestepSpacing?: TimestepSpacing;
  /** 0 (deterministic, the default) to 1 (ancestral noise). */
  readonly eta?: number;
  /** Default `linear`: what motion modules were trained with. */
  readonly betaSchedule?: BetaSchedule;
  /** Default 0.00085. */
  readonly betaStart?: number;
  /** Default 0.012. */
  readonly betaEnd?: number;
  /** Default 1. */
  readonly stepsOffset?: number;
  /** Alpha of the last step is 1 instead of alphas_cumprod[0]. Default: true for `compat: 'original'`. */
  readonly setAlphaToOne?: boolean;
  /** Default `epsilon`. */
  readonly predictionType?: 'epsilon' | 'v_prediction' | 'sample';
}

export type Scheduler = 'ddim' | DdimOptions;

/** Unsigned 64-bit seed: bigint, decimal string or safe integer; -1 draws one. */
export type Seed = bigint | number | string;

/** A picture of the current estimate of the clip at latent size. */
export interface Preview {
  /** RGB bytes of all frames, one after the other. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

export interface GenerateProgress {
  readonly phase: 'text' | 'sample' | 'decode';
  /** Steps done and in total (`sample`), or frames done and in total (`decode`). */
  readonly step: number;
  readonly steps: number;
  /** Only in phase `sample` and when `preview` was asked for; of the first clip of the batch. */
  readonly preview?: Preview;
}

export interface GenerateOptions {
  /** One prompt, or a batch that is computed together. */
  readonly prompt: string | readonly string[];
  /** One for all, or one per prompt. Default: the empty prompt. */
  readonly negativePrompt?: string | readonly string[];
  /** Default 16 with a motion module, 1 without. */
  readonly frames?: number;
  /** Pixels, a multiple of 8. Default: the model's own size (512 for SD 1.5). */
  readonly width?: number;
  /** Pixels, a multiple of 8. Default: the model's own size (512 for SD 1.5). */
  readonly height?: number;
  /** Default 25. */
  readonly steps?: number;
  /** Classifier-free guidance, on when above 1. Default 7.5. */
  readonly guidanceScale?: number;
  /** Default `ddim`. */
  readonly scheduler?: Scheduler;
  /** One for all, or one per prompt. Default -1. */
  readonly seed?: Seed | readonly Seed[];
  /** Ask for a preview with each sampling step. Default false. */
  readonly preview?: boolean;
  /** Aborts within one sampling step; the promise rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: GenerateProgress) => void;
}

/** Everything that made a clip; what `save` writes into the file's metadata. */
export interface ClipParameters {
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Decimal digits of the unsigned 64-bit seed. */
  readonly seed: string;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly scheduler: string;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly base?: string;
  readonly checkpoint?: string;
  readonly vae?: string;
  readonly motionModule?: string;
  /** Absent without any. */
  readonly loras?: readonly AppliedLora[];
  readonly compat: Compat;
  readonly dtype: string;
  readonly device: string;
  /** Name and version of this package. */
  readonly software: string;
}
