/**
 * The flags of the command line as tables: what yargs is told about each, and the key of a configuration
 * that it sets. Values are taken as text here and checked against the schema in `request.ts`.
 */
import type { Options } from 'yargs';
import {
  CLIP_FORMATS,
  COMPATS,
  DTYPES,
  MOTION_VERSIONS,
  PROMPT_INTERPOLATIONS,
  PROMPT_SYNTAXES,
  SCHEDULER_SPELLINGS,
  SCHEDULERS,
  TIMESTEP_SPACINGS,
} from '../config/choices.ts';
import { MEMORY_MODES } from '../options.ts';

export interface Flag {
  readonly describe: string;
  /** Where the value goes in a configuration. Flags without a path are read by their command. */
  readonly path?: readonly [key: string, inner?: string];
  /** How the text is read. Default: as it is. */
  readonly kind?: 'number' | 'path' | 'list' | 'loras' | 'embeddings' | 'travels' | 'switch';
  readonly choices?: readonly string[];
  readonly alias?: string;
}

/** Kinds of flags that can be given more than once. */
const REPEATED: ReadonlySet<string> = new Set(['list', 'loras', 'embeddings', 'travels']);

export type Flags = Readonly<Record<string, Flag>>;

export const LIBTORCH_FLAG: Flags = {
  libtorch: { describe: 'Folder of a LibTorch to use instead of the one that is found', kind: 'path' },
};

export const MODEL_FLAGS: Flags = {
  base: {
    describe: 'Stable Diffusion 1.5: .safetensors, .ckpt, diffusers folder or baked archive',
    path: ['base'],
    kind: 'path',
  },
  checkpoint: {
    describe: 'Personalised (DreamBooth) checkpoint laid over the base',
    path: ['checkpoint'],
    kind: 'path',
  },
  vae: { describe: 'VAE file or diffusers VAE folder, laid over those', path: ['vae'], kind: 'path' },
  'motion-module': {
    describe: 'Motion module file or MotionAdapter folder; without it single images are made',
    path: ['motionModule'],
    kind: 'path',
  },
  'motion-version': {
    describe: 'Only where the file does not tell v1 from v3, or v2 from lightning',
    path: ['motionModule', 'version'],
    choices: MOTION_VERSIONS,
  },
  'motion-steps': {
    describe: 'What an AnimateDiff-Lightning module was made for: 1, 2, 4 or 8; default: what its name says',
    path: ['motionModule', 'steps'],
    kind: 'number',
  },
  'motion-scale': {
    describe: 'Strength of the motion; default 1, 0 for still frames',
    path: ['motionModule', 'scale'],
    kind: 'number',
  },
  lora: {
    describe: 'LoRA, MotionLoRA or domain adapter as FILE or FILE:SCALE; repeat it for more',
    path: ['loras'],
    kind: 'loras',
  },
  embedding: {
    describe:
      'Textual inversion as FILE or FILE:WORD, where WORD is what prompts call it; repeat it for more',
    path: ['embeddings'],
    kind: 'embeddings',
  },
  device: { describe: 'auto, cpu, cuda or cuda:N; default auto', path: ['device'] },
  dtype: {
    describe: 'Default auto: float16 on CUDA; bfloat16 on a CPU that multiplies it, else float32',
    path: ['dtype'],
    choices: DTYPES,
  },
  memory: {
    describe: 'Default auto: what fits is as fast as it can be; low: take little; high: do not look first',
    path: ['memory'],
    choices: MEMORY_MODES,
  },
  compat: { describe: 'Whose numbers are reproduced; default original', path: ['compat'], choices: COMPATS },
  threads: { describe: 'CPU threads; default: physical cores', path: ['threads'], kind: 'number' },
  ...LIBTORCH_FLAG,
};

export const GENERATE_FLAGS: Flags = {
  prompt: { describe: 'What to show; repeat it for more clips', path: ['prompt'], kind: 'list', alias: 'p' },
  'negative-prompt': {
    describe: 'What to avoid; one for all prompts, or one per prompt',
    path: ['negativePrompt'],
    kind: 'list',
    alias: 'n',
  },
  'prompt-travel': {
    describe: "A prompt that changes, as '0: a cat | 8: a dog' by frame; repeat it for more clips",
    path: ['prompt'],
    kind: 'travels',
  },
  'negative-travel': {
    describe: 'The same for what to avoid',
    path: ['negativePrompt'],
    kind: 'travels',
  },
  'prompt-head': { describe: 'Put before every prompt, followed by a comma', path: ['promptHead'] },
  'prompt-tail': { describe: 'Put behind every prompt, after a comma', path: ['promptTail'] },
  'prompt-interpolation': {
    describe: 'Between the key frames of prompts that change; default lerp',
    path: ['promptInterpolation'],
    choices: PROMPT_INTERPOLATIONS,
  },
  'prompt-syntax': {
    describe: 'weighted (default): (word:1.2), [word], BREAK, any length; plain: all is text, 75 tokens',
    path: ['promptSyntax'],
    choices: PROMPT_SYNTAXES,
  },
  'clip-skip': {
    describe: 'Layer of the text encoder, from its end; 1 (default) is the last',
    path: ['clipSkip'],
    kind: 'number',
  },
  seed: {
    describe: '0 to 18446744073709551615, or -1 (default) to draw one; one for all, or one per prompt',
    path: ['seed'],
    kind: 'list',
  },
  frames: { describe: 'Default 16 with a motion module, 1 without', path: ['frames'], kind: 'number' },
  width: { describe: 'Pixels, a multiple of 8; default 512 for SD 1.5', path: ['width'], kind: 'number' },
  height: { describe: 'Pixels, a multiple of 8; default 512 for SD 1.5', path: ['height'], kind: 'number' },
  steps: {
    describe: 'Sampling steps; default 25, with AnimateLCM and Lightning what they were made for',
    path: ['steps'],
    kind: 'number',
  },
  'guidance-scale': {
    describe: 'Classifier-free guidance, on when above 1; default 7.5, AnimateLCM 1.5, Lightning 1',
    path: ['guidanceScale'],
    kind: 'number',
  },
  'guidance-end': {
    describe: 'Share of the steps with guidance, 0 to 1 (default); less is faster and not exact',
    path: ['guidanceEnd'],
    kind: 'number',
  },
  'deep-cache': {
    describe: 'Whole UNet in every such step only; default 1, more is faster and not exact',
    path: ['deepCache'],
    kind: 'number',
  },
  scheduler: {
    describe: 'Default ddim; lcm with AnimateLCM, euler with AnimateDiff-Lightning',
    path: ['scheduler'],
    choices: [...SCHEDULERS, ...SCHEDULER_SPELLINGS],
  },
  eta: {
    describe: 'Noise added at each DDIM step, 0 (default) to 1',
    path: ['scheduler', 'eta'],
    kind: 'number',
  },
  'timestep-spacing': {
    describe: 'Which timesteps are taken; default leading for ddim and pndm, else linspace',
    path: ['scheduler', 'timestepSpacing'],
    choices: TIMESTEP_SPACINGS,
  },
  'karras-sigmas': {
    describe: 'Noise levels of Karras et al., for euler and dpm++_2m',
    path: ['scheduler', 'karrasSigmas'],
    kind: 'switch',
  },
  'original-inference-steps': {
    describe: 'Steps of the schedule that a network for lcm was distilled on; default 50, AnimateLCM 100',
    path: ['scheduler', 'originalInferenceSteps'],
    kind: 'number',
  },
};

export const OUTPUT_FLAGS: Flags = {
  out: {
    describe: 'Folder (default samples/), or a file name for a single clip',
    path: ['out'],
    kind: 'path',
    alias: 'o',
  },
  format: { describe: 'Default gif; png for single images', path: ['format'], choices: CLIP_FORMATS },
  fps: { describe: 'Frames per second; default 8', path: ['fps'], kind: 'number' },
  loop: { describe: 'How often it plays; default 0: forever', path: ['loop'], kind: 'number' },
  columns: { describe: 'Clips per row of the grid; default 4', path: ['columns'], kind: 'number' },
  'no-grid': { describe: 'Do not write the grid of all clips', kind: 'switch' },
};

export const GLOBAL_FLAGS: Flags = {
  json: { describe: 'Print the result as one JSON document', kind: 'switch' },
  quiet: { describe: 'No progress and no notes on stderr', kind: 'switch', alias: 'q' },
  verbose: { describe: 'Print the stack of an error', kind: 'switch' },
};

/**
 * The flags as yargs takes them. Flags with a value have no type of yargs, so that it neither turns text
 * into numbers (seeds have 64 bits) nor takes the last of several values without a word.
 */
export function yargsOptions(flags: Flags, group: string): Record<string, Options> {
  const entries = Object.entries(flags).map(
    ([name, { describe, kind, choices, alias }]): [string, Options] => {
      const shared = { describe, group, alias, choices };
      if (kind === 'switch') return [name, { ...shared, type: 'boolean' }];
      return [
        name,
        {
          ...shared,
          requiresArg: true,
          ...(kind !== undefined && REPEATED.has(kind) ? { array: true } : {}),
        },
      ];
    },
  );
  return Object.fromEntries(entries);
}
