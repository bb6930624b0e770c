/**
 * Reads the reference fixtures (`test/fixtures/reference/`) and compares arrays with them. Knows only what
 * those files hold: float32, int32 and uint8 tensors and one JSON document about how they were made.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { AnimateDiffError } from '../../lib/errors.ts';
import type {
  BetaSchedule,
  Compat,
  PredictionType,
  SchedulerOptions,
  TimestepSpacing,
} from '../../lib/options.ts';
import { type MotionGeneration, REFERENCE_FOLDER } from './family.ts';

/** One fixture file. `About` is the type of its JSON document. */
export interface Fixture<About> {
  readonly about: About;
  readonly names: readonly string[];
  shape(name: string): readonly number[];
  float32(name: string): Float32Array;
  int32(name: string): Int32Array;
  uint8(name: string): Uint8Array;
}

/** Largest absolute difference between diffusers in float32 and the same computation in float64. */
export type Float32Error = number;

/** About `text-encoder`: `ids` [prompts, 77], `last_hidden_state` and `clip_skip_1` [prompts, 77, 32]. */
export interface TextAbout {
  readonly prompts: readonly string[];
  readonly float32Error: Float32Error;
}

/**
 * About `prompts`: `case.<i>` [chunks * 77, 32] for prompt i; `clip_skip_2` [77, 32] of `a cat`; `travel.lerp`
 * [5, 77, 32] from `a cat` at 1 to `a dog` at 3; `travel.slerp` [5, 77, 32] from `a cat` to `one two three, old oak, blue
 * sea`; `vectors` [3, 32] and `inversion` [77, 32] of `a <fixture-style> cat`.
 */
export interface PromptsAbout {
  readonly prompts: readonly string[];
}

/**
 * About `unet`: `encoder_hidden_states` [2, 77, 32]; for each size `latents.<size>` [2, 4, 5, height, width],
 * `<motion>.<compat>.<size>` of the same shape, and `none.<frames>.<size>` for the first 1 or 3 frames
 * without motion modules. Sizes: `8x8`, `10x6`.
 */
export interface UNetAbout {
  readonly timestep: number;
  readonly float32Error: Readonly<Record<string, Float32Error>>;
}

/**
 * About `vae`: `latents` [2, 4, 6, 8] (divided by the scaling factor already) → `decoded` [2, 3, 48, 64];
 * `image` [1, 3, 48, 64] in [-1, 1] → `mean`, `logvar` [1, 4, 6, 8].
 */
export interface VaeAbout {
  readonly scalingFactor: number;
  readonly float32Error: { readonly decoded: Float32Error; readonly mean: Float32Error };
}

/**
 * About `noise`: for each seed `<seed>.start`, the first 4 values of [1, 4, 16, 32, 32]; `<seed>.clip`
 * [1, 4, 5, 8, 8] and `<seed>.next`, drawn after it by the same generator; `<seed>.tail` [1, 4, 1, 5, 7].
 */
export interface NoiseAbout {
  readonly seeds: readonly string[];
}

/** One run of `runSteps` steps; `tensor` [runSteps, 1, 4, 1, 4, 4] names the latents after each of them. */
export interface DdimRun {
  readonly tensor: string;
  readonly timestepSpacing: TimestepSpacing;
  readonly betaSchedule: BetaSchedule;
  readonly predictionType: PredictionType;
  readonly setAlphaToOne: boolean;
  readonly eta: number;
}

/**
 * About `ddim`: `alphas_cumprod.<betaSchedule>` [1000]; int32 `timesteps.<spacing>.<steps>`; for the runs
 * the start `latents`, the model's `outputs` per step, and `eta_noise` per step, drawn from `etaSeed`.
 */
export interface DdimAbout {
  readonly spacings: readonly TimestepSpacing[];
  readonly stepCounts: readonly number[];
  readonly runSteps: number;
  readonly etaSeed: string;
  readonly runs: readonly DdimRun[];
}

/**
 * About `schedulers`: for the runs the start `latents` [2, 4, 1, 2, 2] before scaling, the network's `outputs`
 * [runSteps + 1, …]; by the name of a run its samples after each step, `<run>.inputs` for euler and euler_a, and
 * `<run>.timesteps.<steps>` where it predicts epsilon.
 */
export interface SchedulersAbout {
  readonly stepCounts: readonly number[];
  readonly runSteps: number;
  readonly seeds: readonly string[];
  readonly runs: readonly (SchedulerOptions & { readonly tensor: string })[];
}

/**
 * About `pipeline-<case>`: int32 `ids`, `negative_ids` [clips, 77]; `latents.initial`, `latents.step1`,
 * `latents.final` [clips, 4, frames, height/8, width/8]; `frames.uint8` [clips, frames, height, width, 3];
 * `frames.sample`, every 7th pixel of both sides as float in [0, 1].
 */
export interface PipelineAbout {
  /** null: plain Stable Diffusion, one image. */
  readonly motion: MotionGeneration | null;
  readonly compat: Compat;
  readonly prompts: readonly string[];
  readonly negativePrompts: readonly string[];
  readonly seeds: readonly string[];
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly eta: number;
  readonly timestepSpacing: TimestepSpacing;
  readonly betaSchedule: BetaSchedule;
  readonly predictionType: PredictionType;
  readonly setAlphaToOne: boolean;
  /** Another scheduler than DDIM, which the fields above describe. */
  readonly scheduler?: SchedulerOptions;
  /** Variant of the UNet's seeded weights; VAE, text encoder and motion module have variant 0. */
  readonly unetVariant: number;
  readonly float32Error: { readonly 'latents.final': Float32Error; readonly frames: Float32Error };
}

/** About `lora-<case>`: `latents.final` and `frames.sample` of a clip with adapters of this folder. */
export interface LoraAbout extends PipelineAbout {
  readonly adapters: readonly { readonly file: string; readonly scale: number }[];
}

/** About `long-prompt`: `latents.final` and `frames.sample` of a clip with a prompt of two chunks. */
export interface LongPromptAbout extends PipelineAbout {
  readonly clipSkip: number;
}

/** The type of each fixture's JSON document. */
interface Abouts {
  readonly 'text-encoder': TextAbout;
  readonly prompts: PromptsAbout;
  readonly 'long-prompt': LongPromptAbout;
  readonly unet: UNetAbout;
  readonly vae: VaeAbout;
  readonly noise: NoiseAbout;
  readonly ddim: DdimAbout;
  readonly schedulers: SchedulersAbout;
  readonly [pipeline: `pipeline-${string}`]: PipelineAbout;
  readonly [lora: `lora-${string}`]: LoraAbout;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [start: number, end: number];
}

type Header = Readonly<Record<string, Entry>> & { readonly __metadata__: { readonly about: string } };

const FORMATS = {
  F32: (buffer: ArrayBuffer) => new Float32Array(buffer),
  I32: (buffer: ArrayBuffer) => new Int32Array(buffer),
  U8: (buffer: ArrayBuffer) => new Uint8Array(buffer),
} as const;

/** Reads a fixture such as `unet` or `pipeline-v2-original`. */
export function loadFixture<Name extends keyof Abouts>(name: Name): Fixture<Abouts[Name]> {
  const bytes = readFileSync(path.join(REFERENCE_FOLDER, `${name}.safetensors`));
  const start = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__: metadata, ...entries } = JSON.parse(bytes.toString('utf8', 8, start)) as Header;
  const entry = (tensor: string): Entry => {
    const found = entries[tensor];
    if (found !== undefined) return found;
    const known = Object.keys(entries).join(', ');
    throw new AnimateDiffError('ERR_INVALID_ARGUMENT', `${name} has no tensor '${tensor}', only ${known}.`);
  };
  const read = <Format extends keyof typeof FORMATS>(tensor: string, format: Format) => {
    const { dtype, data_offsets: offsets } = entry(tensor);
    if (dtype !== format) {
      throw new AnimateDiffError(
        'ERR_INVALID_ARGUMENT',
        `'${tensor}' of ${name} is ${dtype}, not ${format}.`,
      );
    }
    // Copied, because a view of the file's buffer need not be aligned.
    const copy = Uint8Array.from(bytes.subarray(start + offsets[0], start + offsets[1]));
    return FORMATS[format](copy.buffer) as ReturnType<(typeof FORMATS)[Format]>;
  };
  return {
    about: JSON.parse(metadata.about) as Abouts[Name],
    names: Object.keys(entries),
    shape: (tensor) => entry(tensor).shape,
    float32: (tensor) => read(tensor, 'F32'),
    int32: (tensor) => read(tensor, 'I32'),
    uint8: (tensor) => read(tensor, 'U8'),
  };
}

/** Names of all fixtures of a kind. */
function fixturesOf<Kind extends string>(kind: Kind): `${Kind}-${string}`[] {
  return readdirSync(REFERENCE_FOLDER)
    .filter((file) => file.startsWith(`${kind}-`) && file.endsWith('.safetensors'))
    .map((file) => path.parse(file).name as `${Kind}-${string}`);
}

/** Names of all whole-pipeline fixtures. */
export const pipelineFixtures = () => fixturesOf('pipeline');

/** Names of all fixtures with adapters. */
export const loraFixtures = () => fixturesOf('lora');

/**
 * Largest absolute difference of two arrays of the same length; NaN if there is a NaN in either, so that a
 * comparison with a tolerance fails.
 */
export function maxAbsError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new AnimateDiffError(
      'ERR_INVALID_ARGUMENT',
      `Expected as many values as the reference has (${expected.length}), got ${actual.length}.`,
    );
  }
  let largest = 0;
  for (let index = 0; index < expected.length; index += 1) {
    largest = Math.max(largest, Math.abs((actual[index] ?? Number.NaN) - (expected[index] ?? Number.NaN)));
  }
  return largest;
}
