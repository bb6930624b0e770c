/**
 * What one turn of the full-size check is asked for and what it answers. A turn is one process, of this
 * package or of diffusers, that loads the model, calls the UNet, makes a clip and ends. Both sides read the
 * same job from a JSON file and write the same answer beside their tensors.
 */
import type { Compat } from '../../lib/options.ts';
import type { Sample } from './meter.ts';

export type Side = 'ours' | 'diffusers';
export type CheckedDtype = 'float32' | 'bfloat16' | 'float16';

/** Everything that both sides must agree on. */
export interface Job {
  readonly checkpoint: string;
  readonly motionModule: string;
  readonly dtype: CheckedDtype;
  readonly compat: Compat;
  /** Width and height in pixels. */
  readonly size: number;
  readonly frames: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Decimal digits of an unsigned 64-bit integer. */
  readonly seed: string;
  readonly threads: number;
  /** Timed calls of the UNet alone, the first of which is the first of the process. */
  readonly calls: number;
  /** Seconds to wait at most for other processes to leave the CPU, before each timed part. */
  readonly patience: number;
  /** Folder for the answer and its tensors. */
  readonly out: string;
}

/** What a turn of check-loading.mjs is asked for: the same model with LoRAs, and no clip. */
export interface LoadingJob
  extends Pick<Job, 'checkpoint' | 'motionModule' | 'dtype' | 'compat' | 'threads' | 'patience' | 'out'> {
  readonly loras: readonly { readonly path: string; readonly scale: number }[];
}

/** Timestep of the UNet calls. */
export const TIMESTEP = 481;

/** Tensors of an answer, each in a file `<name>.f32`: row-major little-endian float32. */
export const TENSORS = ['unet', 'latents', 'pictures'] as const;
export type TensorName = (typeof TENSORS)[number];

/** The answer, in `turn.json`. Memory is the high-water mark of resident bytes (`VmHWM`). */
export interface Turn {
  readonly versions: Readonly<Record<string, string>>;
  readonly threads: number;
  /** 77 ids of the prompt, then 77 of the negative prompt. */
  readonly tokens: readonly number[];
  /** Bytes of the weights as they lie in memory. */
  readonly weights: number;
  readonly memory: { readonly before: number; readonly loaded: number; readonly end: number };
  readonly load: Sample;
  readonly unet: readonly Sample[];
  /** One clip: text, steps, decoding. */
  readonly clip: Sample;
  /** Seconds of each step after the first: UNet with guidance, and the scheduler. */
  readonly laterSteps: readonly number[];
  /** Seconds for decoding all frames. */
  readonly decode: number;
}
