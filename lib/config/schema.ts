/**
 * What a configuration file may say: the keys, their types and ranges, as one zod schema. The command
 * line checks its flags against the same schema. The keys are those of `LoadOptions` and
 * `GenerateOptions`, plus how results are written; the JSON Schema for editors is derived from here.
 */
import { z } from 'zod';
import { formatSource, parseSource } from '../hub/source.ts';
import { MEMORY_MODES } from '../options.ts';
import {
  CLIP_FORMATS,
  COMPATS,
  DTYPES,
  LIGHTNING_STEPS,
  MOTION_VERSIONS,
  PROMPT_INTERPOLATIONS,
  PROMPT_SYNTAXES,
} from './choices.ts';
import { expecting, oneOf } from './expectations.ts';
import { SCHEDULER_EXPECTED, schedulerSchema } from './scheduler-schema.ts';

export { expectations } from './expectations.ts';

/** Greatest seed: seeds are unsigned 64-bit. */
export const MAX_SEED = 2n ** 64n - 1n;

const count = (max: number, what = 'an integer') =>
  expecting(z.int().min(1).max(max), `${what} from 1 to ${max}`);

const text = () => expecting(z.string(), 'text (in quotes if it looks like a number, a list or a mapping)');

const file = () => expecting(z.string().min(1), 'the path of a file or folder');

const addressText = z
  .string()
  .regex(/^https?:\/\/[^\s#]+$/)
  .refine((value) => URL.canParse(value));

/** An address with its hash beside it becomes the one text that stands for both. */
const addressSchema = z
  .strictObject({
    url: expecting(addressText, 'an http: or https: address without #').describe('Where the file is.'),
    sha256: expecting(z.string().regex(/^[0-9a-fA-F]{64}$/), '64 hexadecimal digits').describe(
      'What the file must hash to, whoever sends it.',
    ),
  })
  .transform((address) => formatSource(parseSource(address)));

/** Where a file of a model comes from. */
const source = () => expecting(z.union([file(), addressSchema]), 'the path of a file or folder, or a source');

const pixels = () =>
  expecting(z.int().min(8).max(4096).multipleOf(8), 'pixels, a multiple of 8 from 8 to 4096');

// `z.templateLiteral` would let `cuda:-1` through.
const cudaDevice = z.string().regex(/^cuda:(0|[1-9][0-9]{0,2})$/) as unknown as z.ZodType<`cuda:${number}`>;

function seedText(value: string): boolean {
  return value === '-1' || (/^\d{1,20}$/.test(value) && BigInt(value) <= MAX_SEED);
}

/** One seed. YAML integers beyond 2^53 arrive as bigint, so no digit is lost. */
export const seedSchema = expecting(
  z.union([z.int().min(-1), z.bigint().min(-1n).max(MAX_SEED), z.string().refine(seedText)]),
  `an integer from 0 to ${MAX_SEED}, or -1 to draw one`,
);

const motionModuleSchema = z.union([
  file(),
  addressSchema,
  z.strictObject({
    path: source(),
    version: oneOf(MOTION_VERSIONS)
      .optional()
      .describe('Only where the file does not tell v1 from v3, or v2 from lightning.'),
    steps: expecting(z.literal(LIGHTNING_STEPS), '1, 2, 4 or 8')
      .optional()
      .describe('What an AnimateDiff-Lightning module was made for. Default: what its name says.'),
    scale: expecting(z.number(), 'a finite number')
      .optional()
      .describe('Strength of the motion; 0 leaves still frames. Default: 1.'),
  }),
]);

const loraSchema = z.union([
  file(),
  addressSchema,
  z.strictObject({
    path: source(),
    scale: expecting(z.number(), 'a finite number').optional().describe('Default: 1. May be negative.'),
    ignoreAlpha: expecting(z.boolean(), 'true or false')
      .optional()
      .describe("Ignore the file's alpha / rank, as AnimateDiff and mmagic do. Default: false."),
  }),
]);

const embeddingSchema = z.union([
  file(),
  addressSchema,
  z.strictObject({
    path: source(),
    token: expecting(z.string().regex(/\S/), 'a word')
      .optional()
      .describe('The word that stands for it. Default: the name of the file, and the one stored in it.'),
  }),
]);

/** Texts by frame; frames beyond the clip are refused when its length is known. */
const travelSchema = z
  .record(z.string().regex(/^(0|[1-9]\d{0,5})$/), text())
  .refine((texts) => Object.keys(texts).length > 0);

const TRAVEL = 'text (in quotes if it looks like a number or a list), or a mapping from frames to texts';

const onePrompt = () => expecting(z.union([text(), travelSchema]), TRAVEL);

const promptSchema = () =>
  expecting(z.union([text(), travelSchema, z.array(onePrompt()).min(1)]), `${TRAVEL}, or a list of these`);

/** Keys of `LoadOptions`: which files make the model, and where it runs. */
const loadShape = {
  base: source()
    .optional()
    .describe('Stable Diffusion 1.5: an LDM .safetensors or .ckpt, a diffusers folder, or a baked archive.'),
  checkpoint: source().optional().describe('Personalised (DreamBooth) checkpoint laid over the base.'),
  vae: source().optional().describe('VAE of Stable Diffusion 1.x, laid over that of base and checkpoint.'),
  motionModule: expecting(motionModuleSchema, 'a path, or a mapping with path, version, steps and scale')
    .optional()
    .describe('Motion module file or MotionAdapter folder. Without one, single images are made.'),
  loras: expecting(
    z.array(expecting(loraSchema, 'a path, or a mapping with path and scale')),
    'a list of paths or of mappings with path and scale',
  )
    .optional()
    .describe('LoRAs, MotionLoRAs and domain adapters, each with its own scale.'),
  embeddings: expecting(
    z.array(expecting(embeddingSchema, 'a path, or a mapping with path and token')),
    'a list of paths or of mappings with path and token',
  )
    .optional()
    .describe('Textual inversions, used where a prompt or negative prompt has their word.'),
  device: expecting(z.union([z.enum(['auto', 'cpu', 'cuda']), cudaDevice]), 'auto, cpu, cuda or cuda:N')
    .optional()
    .describe('auto, cpu, cuda or cuda:N. Default: auto.'),
  dtype: oneOf(DTYPES)
    .optional()
    .describe('Default: auto (float16 on CUDA; bfloat16 on a CPU that multiplies it, else float32).'),
  memory: oneOf(MEMORY_MODES)
    .optional()
    .describe('What gives way where memory is short: auto, low or high. Default: auto.'),
  compat: oneOf(COMPATS).optional().describe('Whose numbers are reproduced. Default: original.'),
  threads: count(1024).optional().describe('CPU threads. Default: the number of physical cores.'),
};

/** Keys of `GenerateOptions`: what is made. */
const generateShape = {
  prompt: promptSchema()
    .optional()
    .describe(
      'One prompt or a list; each makes one clip. A mapping has texts by frame: {0: a cat, 8: a dog}.',
    ),
  negativePrompt: promptSchema().optional().describe('One for all prompts, or one per prompt.'),
  promptSyntax: oneOf(PROMPT_SYNTAXES)
    .optional()
    .describe(
      'weighted: (word:1.2), [word], BREAK, any length. plain: all is text, 75 tokens. Default: weighted.',
    ),
  promptHead: text().optional().describe('Put before every prompt, followed by a comma.'),
  promptTail: text().optional().describe('Put behind every prompt, after a comma.'),
  promptInterpolation: oneOf(PROMPT_INTERPOLATIONS)
    .optional()
    .describe('Between the key frames of prompts that change. Default: lerp.'),
  clipSkip: count(48)
    .optional()
    .describe('Layer of the text encoder, from its end; 1 is the last, 12 the first of SD 1.5. Default: 1.'),
  seed: expecting(
    z.union([seedSchema, z.array(seedSchema).min(1)]),
    `an integer from 0 to ${MAX_SEED}, -1, or a list of them`,
  )
    .optional()
    .describe('One for all prompts, or one per prompt. -1 draws one. Default: -1.'),
  frames: count(100_000).optional().describe('Default: 16 with a motion module, 1 without.'),
  width: pixels().optional().describe("Pixels, a multiple of 8. Default: the model's own size (512)."),
  height: pixels().optional().describe("Pixels, a multiple of 8. Default: the model's own size (512)."),
  steps: count(1000)
    .optional()
    .describe('Sampling steps. Default: 25; 4 with AnimateLCM, its own number with AnimateDiff-Lightning.'),
  guidanceScale: expecting(z.number().min(0).max(1000), 'a number from 0 to 1000')
    .optional()
    .describe(
      'Classifier-free guidance, on when above 1. Default: 7.5; AnimateLCM 1.5, AnimateDiff-Lightning 1.',
    ),
  guidanceEnd: expecting(z.number().min(0).max(1), 'a number from 0 to 1')
    .optional()
    .describe('Share of the steps with guidance; the rest, at the end, goes without. Default: 1.'),
  deepCache: count(100)
    .optional()
    .describe('The whole UNet runs in every such step, its last layer in the others. Default: 1.'),
  scheduler: expecting(schedulerSchema, SCHEDULER_EXPECTED)
    .optional()
    .describe('Default: ddim; lcm with AnimateLCM, euler with AnimateDiff-Lightning.'),
};

/** Keys about the files that are written. */
const outputShape = {
  out: file()
    .optional()
    .describe(
      'Folder, or file for a single clip, relative to this file. Default: samples/ where the command runs.',
    ),
  format: oneOf(CLIP_FORMATS).optional().describe('Default: gif; png for single images.'),
  fps: expecting(z.number().min(0.1).max(90), 'frames per second from 0.1 to 90')
    .optional()
    .describe('Frames per second, at most 50 for GIF. Default: 8.'),
  loop: expecting(z.int().min(0).max(65535), 'an integer from 0 (forever) to 65535')
    .optional()
    .describe('How often the animation plays; 0 is forever. Default: 0.'),
  columns: count(1000).optional().describe('Clips per row of the grid. Default: 4.'),
};

/** The whole file. */
export const configSchema = expecting(
  z.strictObject({ ...loadShape, ...generateShape, ...outputShape }),
  'a mapping of keys, such as `prompt: a cat`',
);

/** A checked configuration. Seeds keep the type they were written in; every key is optional. */
export type Config = z.output<typeof configSchema>;

function keysOf<T extends object>(shape: T): readonly (keyof T & keyof Config)[] {
  return Object.keys(shape) as (keyof T & keyof Config)[];
}

/** Names of the keys that go to `AnimateDiff.load`. */
export const LOAD_KEYS = keysOf(loadShape);
/** Names of the keys that go to `generate`. */
export const GENERATE_KEYS = keysOf(generateShape);
/** Names of the keys about the files that are written. */
export const OUTPUT_KEYS = keysOf(outputShape);

/** The keys of a configuration that are among `keys`, without those that are not set. */
export function pick<K extends keyof Config>(config: Config, keys: readonly K[]): Pick<Config, K> {
  const chosen: Pick<Config, K> = {} as Pick<Config, K>;
  for (const key of keys) if (config[key] !== undefined) chosen[key] = config[key];
  return chosen;
}
