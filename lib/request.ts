/** Turns the options of one `generate` call into the engine's request. Checks everything, touches no file. */

import { constants } from 'node:buffer';
import { AnimateDiffError, invalidArgument } from './errors.ts';
import type { Notice } from './events.ts';
import { type GraphFamily, textLayers } from './graphs.ts';
import { type MotionFacts, samplingDefaults, stepNotices } from './motion-sampling.ts';
import type { NativeRequest } from './native.ts';
import type { ClipParameters, GenerateOptions, Prompt, Seed } from './options.ts';
import { encodePrompts } from './prompt/encode.ts';
import type { EmbeddingTrigger } from './prompt/tokens.ts';
import {
  readSchedule,
  type Schedule,
  scheduleText,
  scheduleTexts,
  scheduleTravel,
  surround,
} from './prompt/travel.ts';
import { describeScheduler, nativeScheduler, resolveScheduler, type SchedulerContext } from './scheduler.ts';
import { resolveSeed } from './seed.ts';
import {
  requireBoolean,
  requireChoice,
  requireInteger,
  requireKnownKeys,
  requireNumber,
  requireObject,
  requireString,
} from './validate.ts';

/** What a request needs to know about the loaded pipeline. */
export interface RequestContext extends SchedulerContext {
  readonly family: GraphFamily;
  /** Textual inversions of the text encoder. Default: none. */
  readonly embeddings?: readonly EmbeddingTrigger[];
  readonly motion?: MotionFacts & { readonly maxFrames: number };
}

/** The part of a clip's parameters that its request determines. */
export type RequestParameters = Pick<
  ClipParameters,
  | 'prompt'
  | 'negativePrompt'
  | 'promptTravel'
  | 'negativePromptTravel'
  | 'promptInterpolation'
  | 'promptSyntax'
  | 'clipSkip'
  | 'seed'
  | 'steps'
  | 'guidanceScale'
  | 'guidanceEnd'
  | 'deepCache'
  | 'scheduler'
  | 'width'
  | 'height'
  | 'frames'
>;

export interface BuiltRequest {
  readonly native: NativeRequest;
  /** One per clip. */
  readonly clips: readonly RequestParameters[];
  readonly notices: readonly Notice[];
}

const KEYS: readonly (keyof GenerateOptions)[] = [
  'prompt',
  'negativePrompt',
  'promptSyntax',
  'promptHead',
  'promptTail',
  'promptInterpolation',
  'clipSkip',
  'frames',
  'width',
  'height',
  'steps',
  'guidanceScale',
  'guidanceEnd',
  'deepCache',
  'scheduler',
  'seed',
  'preview',
  'signal',
  'onProgress',
  'onFrame',
];

/** Largest side in pixels; beyond it the token count of spatial attention has no practical use. */
const MAX_SIDE = 4096;

/** Order of `ad_interpolation`. */
const INTERPOLATIONS = ['lerp', 'slerp'] as const;

function perPrompt<T>(name: string, value: T | readonly T[], count: number): readonly T[] {
  if (!Array.isArray(value)) return Array.from({ length: count }, () => value as T);
  if (value.length === count) return value as readonly T[];
  if (value.length === 1) return Array.from({ length: count }, () => value[0] as T);
  throw invalidArgument(name, `one value, or one for each of the ${count} prompts`, value);
}

function requirePrompts(prompt: GenerateOptions['prompt']): readonly Prompt[] {
  const prompts = Array.isArray(prompt) ? (prompt as readonly Prompt[]) : [prompt as Prompt];
  if (prompts.length === 0) throw invalidArgument('prompt', 'at least one prompt', prompt);
  return prompts;
}

/** Texts of both sides, one schedule per clip, and how they are to be read. */
function readPrompts(options: GenerateOptions, { family }: RequestContext, frames: number) {
  const wanted = requirePrompts(options.prompt);
  const head = requireString('promptHead', options.promptHead ?? '');
  const tail = requireString('promptTail', options.promptTail ?? '');
  return {
    prompts: wanted.map((prompt) => surround(readSchedule('prompt', prompt, frames), head, tail)),
    negatives: perPrompt<Prompt>('negativePrompt', options.negativePrompt ?? '', wanted.length).map(
      (prompt) => readSchedule('negativePrompt', prompt, frames),
    ),
    syntax: requireChoice('promptSyntax', options.promptSyntax ?? 'weighted', ['weighted', 'plain']),
    interpolation: requireChoice(
      'promptInterpolation',
      options.promptInterpolation ?? 'lerp',
      INTERPOLATIONS,
    ),
    clipSkip: requireInteger('clipSkip', options.clipSkip ?? 1, 1, textLayers(family)),
  };
}

type Prompts = ReturnType<typeof readPrompts>;

/** What a clip's record says about its text. */
function promptParameters(
  prompt: Schedule,
  negative: Schedule,
  { syntax, interpolation, clipSkip }: Prompts,
) {
  const [promptTravel, negativePromptTravel] = [scheduleTravel(prompt), scheduleTravel(negative)];
  const changes = promptTravel !== undefined || negativePromptTravel !== undefined;
  return {
    prompt: scheduleText(prompt),
    negativePrompt: scheduleText(negative),
    ...(promptTravel && { promptTravel }),
    ...(negativePromptTravel && { negativePromptTravel }),
    ...(changes && { promptInterpolation: interpolation }),
    ...(syntax !== 'weighted' && { promptSyntax: syntax }),
    ...(clipSkip > 1 && { clipSkip }),
  };
}

function readSide(name: string, value: number | undefined, config: GraphFamily['config']): number {
  const side = requireInteger(name, value ?? config.sampleSize, config.vaeScaleFactor, MAX_SIDE);
  if (side % config.vaeScaleFactor === 0) return side;
  throw invalidArgument(name, `a multiple of ${config.vaeScaleFactor}`, side);
}

function readFrames(frames: number | undefined, motion: RequestContext['motion']): number {
  const count = requireInteger('frames', frames ?? (motion === undefined ? 1 : 16), 1, 100_000);
  if (motion === undefined) {
    if (count === 1) return count;
    throw new AnimateDiffError(
      'ERR_INVALID_ARGUMENT',
      `Expected \`frames\` to be 1, since no motion module is loaded, got ${count}. Load a \`motionModule\` for more.`,
      { details: { option: 'frames', value: count } },
    );
  }
  if (count <= motion.maxFrames) return count;
  throw new AnimateDiffError(
    'ERR_TOO_MANY_FRAMES',
    `The motion module has positions for ${motion.maxFrames} frames, but ${count} were asked for. Ask for at most ` +
      `${motion.maxFrames}; 16 is what AnimateDiff was trained with.`,
    { details: { frames: count, maxFrames: motion.maxFrames } },
  );
}

/** All clips of a call come back in one buffer. */
function requireOneBuffer(clips: number, shape: { frames: number; width: number; height: number }): void {
  const bytes = clips * shape.frames * shape.width * shape.height * 3;
  if (bytes <= constants.MAX_LENGTH) return;
  const expected = `at most ${constants.MAX_LENGTH} bytes of frames in one call (fewer prompts, frames or pixels)`;
  throw invalidArgument('prompt', expected, bytes);
}

/** Throws `ERR_INVALID_ARGUMENT` or `ERR_TOO_MANY_FRAMES`. */
export function buildRequest(options: GenerateOptions, context: RequestContext): BuiltRequest {
  requireKnownKeys('options', requireObject('options', options), KEYS);
  const { compat, embeddings = [] } = context;
  const { config } = context.family;
  const frames = readFrames(options.frames, context.motion);
  const read = readPrompts(options, context, frames);
  const { prompts, negatives, syntax } = read;
  const seeds = perPrompt<Seed>('seed', options.seed ?? -1, prompts.length).map(resolveSeed);
  const defaults = samplingDefaults(context.motion);
  const shared = {
    steps: requireInteger('steps', options.steps ?? defaults.steps, 1, 1000),
    guidanceScale: requireNumber('guidanceScale', options.guidanceScale ?? defaults.guidanceScale, 0, 1000),
    width: readSide('width', options.width, config),
    height: readSide('height', options.height, config),
    frames,
  };
  const guidanceEnd = requireNumber('guidanceEnd', options.guidanceEnd ?? 1, 0, 1);
  const deepCache = requireInteger('deepCache', options.deepCache ?? 1, 1, 100);
  requireOneBuffer(prompts.length, shared);
  const scheduler = resolveScheduler(options.scheduler, { ...context, moduleScheduler: defaults.scheduler });
  const text = encodePrompts(
    scheduleTexts(prompts, frames),
    scheduleTexts(negatives, frames),
    { syntax, embeddings },
    shared.guidanceScale > 1,
  );
  const native: NativeRequest = {
    ...shared,
    ...text.native,
    guidanceEnd,
    deepCache,
    layersSkipped: read.clipSkip - 1,
    interpolation: INTERPOLATIONS.indexOf(read.interpolation),
    batch: prompts.length,
    vaeScaleFactor: config.vaeScaleFactor,
    vaeScalingFactor: config.vaeScalingFactor,
    latentChannels: config.latentChannels,
    scheduler: nativeScheduler(scheduler, shared.steps),
    seeds: BigUint64Array.from(seeds),
    normOverFrames: compat === 'original' && context.motion?.version === 'v1',
    motionNormOverFrames: compat === 'diffusers',
    preview: requireBoolean('preview', options.preview ?? false),
    deliverFrames: options.onFrame !== undefined,
    keepFloats: false,
  };
  const clips = prompts.map((prompt, index) => ({
    ...shared,
    ...(guidanceEnd < 1 && { guidanceEnd }),
    ...(deepCache > 1 && { deepCache }),
    ...promptParameters(prompt, negatives[index] ?? [], read),
    seed: String(seeds[index]),
    scheduler: describeScheduler(scheduler, context),
  }));
  return { native, clips, notices: [...stepNotices(context.motion, shared.steps), ...text.notices] };
}
