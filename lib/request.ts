/** Turns the options of one `generate` call into the engine's request. Checks everything, touches no file. */

import { constants } from 'node:buffer';
import { AnimateDiffError, invalidArgument } from './errors.ts';
import type { GraphFamily } from './graphs.ts';
import { type MotionFacts, samplingDefaults, stepNotices } from './motion-sampling.ts';
import type { NativeRequest } from './native.ts';
import type { ClipParameters, GenerateOptions, Notice, Seed } from './options.ts';
import { createTokenizer, SEQUENCE_LENGTH } from './prompt/tokenizer.ts';
import { describeScheduler, nativeScheduler, resolveScheduler, type SchedulerContext } from './scheduler.ts';
import { resolveSeed } from './seed.ts';
import {
  requireBoolean,
  requireInteger,
  requireKnownKeys,
  requireNumber,
  requireObject,
  requireString,
} from './validate.ts';

/** What a request needs to know about the loaded pipeline. */
export interface RequestContext extends SchedulerContext {
  readonly config: GraphFamily['config'];
  readonly motion?: MotionFacts & { readonly maxFrames: number };
}

/** The part of a clip's parameters that its request determines. */
export type RequestParameters = Pick<
  ClipParameters,
  | 'prompt'
  | 'negativePrompt'
  | 'seed'
  | 'steps'
  | 'guidanceScale'
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
  'frames',
  'width',
  'height',
  'steps',
  'guidanceScale',
  'scheduler',
  'seed',
  'preview',
  'signal',
  'onProgress',
];

/** Largest side in pixels; beyond it the token count of spatial attention has no practical use. */
const MAX_SIDE = 4096;

function perPrompt<T>(name: string, value: T | readonly T[], count: number): readonly T[] {
  if (!Array.isArray(value)) return Array.from({ length: count }, () => value as T);
  if (value.length === count) return value as readonly T[];
  if (value.length === 1) return Array.from({ length: count }, () => value[0] as T);
  throw invalidArgument(name, `one value, or one for each of the ${count} prompts`, value);
}

function readPrompts(prompt: GenerateOptions['prompt']): readonly string[] {
  const prompts = Array.isArray(prompt) ? (prompt as readonly string[]) : [prompt as string];
  if (prompts.length === 0) throw invalidArgument('prompt', 'at least one prompt', prompt);
  return prompts.map((text) => requireString('prompt', text));
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

/** Token ids of all texts, row by row, and a notice for each that was cut. */
function tokenize(name: string, texts: readonly string[], notices: Notice[]): Int32Array {
  const tokenizer = createTokenizer();
  const ids = new Int32Array(texts.length * SEQUENCE_LENGTH);
  const told = new Set<string>();
  texts.forEach((text, index) => {
    const tokenized = tokenizer.tokenize(text);
    ids.set(tokenized.ids, index * SEQUENCE_LENGTH);
    if (tokenized.dropped === undefined || told.has(text)) return;
    told.add(text);
    notices.push({
      code: 'prompt-truncated',
      message: `The ${name} has ${tokenized.length} tokens, 75 fit; this was dropped: ${tokenized.dropped}`,
    });
  });
  return ids;
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
  const { config, compat } = context;
  const prompts = readPrompts(options.prompt);
  const negatives = perPrompt('negativePrompt', options.negativePrompt ?? '', prompts.length).map((text) =>
    requireString('negativePrompt', text),
  );
  const seeds = perPrompt<Seed>('seed', options.seed ?? -1, prompts.length).map(resolveSeed);
  const defaults = samplingDefaults(context.motion);
  const shared = {
    steps: requireInteger('steps', options.steps ?? defaults.steps, 1, 1000),
    guidanceScale: requireNumber('guidanceScale', options.guidanceScale ?? defaults.guidanceScale, 0, 1000),
    width: readSide('width', options.width, config),
    height: readSide('height', options.height, config),
    frames: readFrames(options.frames, context.motion),
  };
  requireOneBuffer(prompts.length, shared);
  const scheduler = resolveScheduler(options.scheduler, { ...context, moduleScheduler: defaults.scheduler });
  const notices: Notice[] = stepNotices(context.motion, shared.steps);
  const native: NativeRequest = {
    ...shared,
    batch: prompts.length,
    vaeScaleFactor: config.vaeScaleFactor,
    vaeScalingFactor: config.vaeScalingFactor,
    latentChannels: config.latentChannels,
    tokens: SEQUENCE_LENGTH,
    promptIds: tokenize('prompt', prompts, notices),
    negativeIds: tokenize('negative prompt', negatives, shared.guidanceScale > 1 ? notices : []),
    scheduler: nativeScheduler(scheduler, shared.steps),
    seeds: BigUint64Array.from(seeds),
    normOverFrames: compat === 'original' && context.motion?.version === 'v1',
    motionNormOverFrames: compat === 'diffusers',
    preview: requireBoolean('preview', options.preview ?? false),
    keepFloats: false,
  };
  const clips = prompts.map((prompt, index) => ({
    ...shared,
    prompt,
    negativePrompt: negatives[index] ?? '',
    seed: String(seeds[index]),
    scheduler: describeScheduler(scheduler, context),
  }));
  return { native, clips, notices };
}
