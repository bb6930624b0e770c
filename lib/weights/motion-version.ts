/**
 * Tells the generations of motion modules apart by their tensors, since files carry no version. The rules are
 * the union of those that diffusers (`single_file_utils.py`), AnimateDiff-Evolved and others use.
 */
import type { MotionVersion } from '../options.ts';
import type { CanonicalWeights } from './canonical.ts';
import type { JsonObject } from './folder.ts';
import { fits, hasMiddleMotion, isPositionTable, type PartMatch } from './match.ts';

/** Generations that can be told, the last ones only to name them in an error. */
export type DetectedMotion =
  | MotionVersion
  | 'sdxl'
  | 'hotshotxl'
  | 'pia'
  | 'animatelcm-i2v'
  | 'fancyvideo'
  | 'cameractrl'
  | 'unknown';

export interface MotionIdentity {
  readonly version: DetectedMotion;
  /** Most frames of one clip: the length of the position table. */
  readonly maxFrames: number;
  /** The file or the config beside it states `maxFrames`; otherwise it is what the version was trained with. */
  readonly stated: boolean;
  /** Steps that an AnimateDiff-Lightning module was distilled for, from its name. */
  readonly steps?: number;
  /** Nothing tells v1 from v3, or v2 from AnimateLCM as diffusers saves it: v3 or v2 was taken. */
  readonly assumed: boolean;
}

/** Positions with which each generation was trained, for files that leave the table out. */
export const DEFAULT_POSITIONS: Readonly<Record<MotionVersion, number>> = {
  v1: 24,
  v2: 32,
  v3: 32,
  animatelcm: 64,
  lightning: 32,
};

/** What the rules look at. */
interface Traits {
  readonly names: readonly string[];
  readonly hotshot: boolean;
  readonly middle: boolean;
  /** Length of the position table in the file, or in the config beside it. */
  readonly positions: number | undefined;
  readonly conditioned: boolean;
  /** The widths are those of a family of graphs. */
  readonly supported: boolean;
  /** One level of the UNet less than the family has: SDXL. */
  readonly shallow: boolean;
  /** Steps in the name of an AnimateDiff-Lightning module, which has the tensors of v2. */
  readonly lightningSteps: number | undefined;
  /** The name is that of AnimateLCM, which in diffusers' layout has the tensors of v2 with their positions. */
  readonly lcmName: boolean;
}

const RULES: readonly (readonly [DetectedMotion, (traits: Traits) => boolean])[] = [
  ['animatelcm-i2v', ({ names }) => names.some((name) => name.includes('img_encoder.'))],
  ['fancyvideo', ({ names }) => names.some((name) => name.includes('FancyVideo'))],
  ['cameractrl', ({ names }) => names.some((name) => /pose_encoder\.|\.qkv_merge\./.test(name))],
  ['pia', ({ conditioned }) => conditioned],
  ['hotshotxl', ({ hotshot }) => hotshot],
  ['hotshotxl', ({ shallow, positions }) => shallow && positions === 24],
  ['sdxl', ({ shallow }) => shallow],
  ['unknown', ({ supported }) => !supported],
  ['animatelcm', ({ middle, positions }) => middle && positions === undefined],
  ['animatelcm', ({ middle, lcmName }) => middle && lcmName],
  ['lightning', ({ middle, lightningSteps }) => middle && lightningSteps !== undefined],
  ['v2', ({ middle }) => middle],
  ['v1', ({ positions }) => positions !== undefined && positions <= DEFAULT_POSITIONS.v1],
  ['v3', () => true],
];

/** Channels of PIA's first convolution: latents, condition, mask. */
const PIA_CHANNELS = 9;

/** Names of ByteDance/AnimateDiff-Lightning: `animatediff_lightning_4step_comfyui.safetensors`. */
const LIGHTNING_NAME = /animatediff[-_]lightning[-_]([1248])[-_]?step/i;

/** Names of wangfuyun/AnimateLCM and of copies of it. */
const LCM_NAME = /animate[-_]?lcm/i;

/** Names of the v2 module: `animatediff-motion-adapter-v1-5-2`, `mm_sd_v15_v2`. */
const V2_NAME = /v1[-_.]?5[-_.]v?2(?!\d)/i;

/** Where motion modules come from. */
export interface MotionOrigin {
  /** Name of the file, folder or repository. */
  readonly name?: string;
  /** `config.json` of a MotionAdapter folder. */
  readonly config?: JsonObject;
}

/** Generation of the motion modules in a file; `match` is their comparison with the best family. */
export function detectMotion(
  weights: CanonicalWeights,
  match: PartMatch | undefined,
  { name = '', config = {} }: MotionOrigin = {},
): MotionIdentity {
  const { motion, unet } = weights.parts;
  const positions = tablePositions(weights) ?? configPositions(config);
  const names = [name, savedFrom(config)];
  const steps = names.map((text) => LIGHTNING_NAME.exec(text)?.[1]).find(Boolean);
  const traits: Traits = {
    names: weights.unknown,
    hotshot: weights.layouts.motion === 'hotshot',
    middle: hasMiddleMotion(motion),
    positions,
    conditioned:
      unet.get('conv_in.weight')?.shape[1] === PIA_CHANNELS || config.conv_in_channels === PIA_CHANNELS,
    supported: fits(match),
    shallow: match !== undefined && downLevels(motion.keys()) === familyLevels(match) - 1,
    lightningSteps: steps === undefined ? undefined : Number(steps),
    lcmName: names.some((text) => LCM_NAME.test(text)),
  };
  const version = RULES.find(([, test]) => test(traits))?.[0] ?? 'unknown';
  const fallback = isSupportedMotion(version) ? DEFAULT_POSITIONS[version] : 0;
  const stated = positions !== undefined;
  const unnamed = weights.layouts.motion === 'diffusers' && !names.some((text) => V2_NAME.test(text));
  return {
    version,
    maxFrames: positions ?? fallback,
    stated,
    assumed: (version === 'v3' && !stated) || (version === 'v2' && unnamed),
    ...(version === 'lightning' && { steps: traits.lightningSteps }),
  };
}

/** The repository or folder that diffusers loaded a module from before it saved it. */
function savedFrom({ _name_or_path: from }: JsonObject): string {
  return typeof from === 'string' ? from : '';
}

function tablePositions({ parts }: CanonicalWeights): number | undefined {
  for (const [name, { shape }] of parts.motion) if (isPositionTable(name)) return shape[1];
  return undefined;
}

function configPositions({ motion_max_seq_length: length }: JsonObject): number | undefined {
  return typeof length === 'number' && Number.isSafeInteger(length) && length > 0 ? length : undefined;
}

function familyLevels({ family }: PartMatch): number {
  return downLevels(Object.keys(family.graphs.unet_motion.parameters));
}

/** Levels of the encoder: 4 in Stable Diffusion 1.5, 3 in SDXL. */
function downLevels(names: Iterable<string>): number {
  let levels = 0;
  for (const name of names) {
    const level = /^down_blocks\.(\d+)\./.exec(name)?.[1];
    if (level !== undefined) levels = Math.max(levels, Number(level) + 1);
  }
  return levels;
}

/** True for the generations that can be used. */
export function isSupportedMotion(version: DetectedMotion): version is MotionVersion {
  return Object.hasOwn(DEFAULT_POSITIONS, version);
}
