/**
 * What one process of a side is asked for and what it answers. Every side reads the same job from a JSON file, and
 * writes its answer beside it: `ours.ts` and `fresh.mjs` for this package, `peers/turn.py` for diffusers.
 */
import type { EngineDtype } from '../lib/load.ts';
import type { Compat } from '../lib/options.ts';
import type { FamilyName } from '../test/support/family.ts';
import type { Measure, Task } from './measures.ts';
import type { Value } from './statistics.ts';

/** The files of the random model, and of the inputs that all sides call the networks with. */
export interface ModelFiles {
  readonly checkpoint: string;
  readonly motionModule: string;
  /** Two LoRAs of the same shape and other values. */
  readonly loras: readonly [string, string];
}

/** Shape of the work. */
export interface Shape {
  /** Width and height in pixels. */
  readonly size: number;
  readonly frames: number;
  /** Clips of one call. */
  readonly batch: number;
  readonly steps: number;
}

/** What all sides agree on. */
export interface Work extends ModelFiles, Shape {
  readonly family: FamilyName;
  /** Pixels per latent. */
  readonly latentScale: number;
  readonly device: 'cpu' | 'cuda';
  readonly compat: Compat;
  readonly guidanceScale: number;
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Decimal digits of an unsigned 64-bit integer. */
  readonly seed: string;
  readonly threads: number;
  /** Timed values of a task; one more before them warms up. */
  readonly calls: number;
  /** Seconds to wait at most for other processes to leave the CPU, before each timed part. */
  readonly patience: number;
  /** Folder of the UNet's inputs, float32: `latents.f32` [2, 4, frames, size / 8, size / 8], `text.f32` [2, 77, width]. */
  readonly inputs: string;
}

export interface Job extends Work {
  /** `auto` is for this package alone. */
  readonly dtype: EngineDtype | 'auto';
  /** How a peer runs its networks; this package has one way. */
  readonly mode: 'eager' | 'compile';
  /** A fresh turn makes one clip and nothing before it; its first values count. */
  readonly fresh: boolean;
  readonly tasks: readonly Task[];
  /** Write the tensors that {@link TENSORS} names. */
  readonly keep: boolean;
  /** Folder for the answer and its tensors. */
  readonly out: string;
}

/** Timestep of the UNet calls. */
export const TIMESTEP = 481;

/** Steps of the task `unguided`. */
export const UNGUIDED_STEPS = 4;

/** Tensors in files `<name>.f32`, row-major little-endian float32: one UNet call, a clip's end. */
export const TENSORS = ['unet', 'latents', 'pictures'] as const;
export type TensorName = (typeof TENSORS)[number];

export interface Answer {
  readonly versions: Readonly<Record<string, string>>;
  readonly threads: number;
  readonly dtype: EngineDtype;
  /** Name of the accelerator, absent on the CPU. */
  readonly accelerator?: string;
  /** Bytes of the weights as they lie in memory. */
  readonly weights: number;
  /** CPU seconds of the whole process. */
  readonly cpu: number;
  /** Seconds since 1970 at which the first sampling step of a fresh process began and was done. */
  readonly firstStep?: { readonly begun: number; readonly done: number };
  readonly values: Readonly<Partial<Record<Measure, readonly Value[]>>>;
}
