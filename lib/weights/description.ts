/** Words for what a file is: noun phrases that fit into `X is …`. */
import { architectureTitle } from './architecture.ts';
import type { Part } from './canonical.ts';
import type { Identity } from './identity.ts';
import type { FileKind } from './kinds.ts';
import type { DetectedMotion } from './motion-version.ts';

type Subject = Pick<Identity, 'kind' | 'architecture' | 'layout' | 'holds' | 'motion'>;

const PART_TITLES: Readonly<Record<Part, string>> = {
  unet: 'UNet',
  motion: 'motion modules',
  vae: 'VAE',
  textEncoder: 'text encoder',
};

const LAYOUT_TITLES: Readonly<Record<string, string>> = { ldm: 'LDM', hotshot: 'HotshotXL' };

const MOTION_TITLES: Readonly<Record<DetectedMotion, string>> = {
  v1: 'an AnimateDiff v1 motion module',
  v2: 'an AnimateDiff v2 motion module',
  v3: 'an AnimateDiff v3 motion module',
  animatelcm: 'an AnimateLCM motion module',
  lightning: 'an AnimateDiff-Lightning motion module',
  'animatelcm-i2v': 'an AnimateLCM-I2V motion module, which takes an image',
  sdxl: 'an AnimateDiff motion module for SDXL',
  hotshotxl: 'a HotshotXL motion module, which is for SDXL',
  pia: 'a PIA motion module, which takes an image',
  fancyvideo: 'a FancyVideo motion module',
  cameractrl: 'a CameraCtrl motion module',
  unknown: 'a motion module of unknown widths',
};

const ADD_ON_TITLES: Readonly<Partial<Record<FileKind, string>>> = {
  lora: 'a LoRA',
  'motion-lora': 'a MotionLoRA',
  'domain-adapter-lora': 'a domain adapter LoRA',
  'textual-inversion': 'a textual inversion embedding',
  controlnet: 'a ControlNet',
  sparsectrl: 'a SparseCtrl encoder',
  'ip-adapter': 'an IP-Adapter',
  torchscript: 'a TorchScript archive',
};

/** A noun phrase such as `a LoRA (kohya layout)` or `an AnimateDiff v2 motion module (32 positions)`. */
export function describe(subject: Subject): string {
  const { kind, architecture, layout, motion } = subject;
  const addOn = ADD_ON_TITLES[kind];
  if (addOn !== undefined) {
    const subjectOf = architecture === null ? '' : ` for ${architectureTitle(architecture)}`;
    return `${addOn}${subjectOf}${layout === null ? '' : ` (${layoutTitle(layout)} layout)`}`;
  }
  const title =
    architecture === null || architecture === 'unknown' ? 'unknown' : architectureTitle(architecture);
  switch (kind) {
    case 'motion-module':
    case 'motion-adapter':
      return motion === null
        ? 'a motion module'
        : `${MOTION_TITLES[motion.version]} (${layoutTitle(layout)} layout, ${motion.maxFrames} positions${motion.steps === undefined ? '' : `, ${motion.steps} steps`})`;
    case 'sd-checkpoint':
      return `${article(title)} ${title} checkpoint (${layoutTitle(layout)} layout; ${partsText(subject)})`;
    case 'diffusers-folder':
      return `${article(title)} ${title} diffusers folder (${partsText(subject)})`;
    case 'diffusers-unet':
      return `${article(title)} ${title} UNet in diffusers layout`;
    case 'vae':
    case 'diffusers-vae':
      return `${vaeTitle(architecture)} in ${layoutTitle(layout)} layout`;
    case 'clip-text':
      return 'a CLIP text encoder';
    default:
      return title === 'unknown' ? 'a file of unknown weights' : `${article(title)} ${title} model`;
  }
}

/** VAEs that no graph takes; those of the others are all alike. */
const FOREIGN_VAES: readonly (string | null)[] = ['sdxl', 'sd3-or-flux', 'svd'];

function vaeTitle(architecture: string | null): string {
  if (architecture === 'unknown') return 'a VAE of unknown widths';
  if (architecture === null || !FOREIGN_VAES.includes(architecture)) return 'a VAE';
  const title = architectureTitle(architecture);
  return `${article(title)} ${title} VAE`;
}

function partsText({ holds }: Subject): string {
  const held = (Object.keys(PART_TITLES) as Part[])
    .filter((part) => holds[part])
    .map((part) => PART_TITLES[part]);
  return held.join(', ');
}

function layoutTitle(layout: string | null): string {
  return LAYOUT_TITLES[layout ?? ''] ?? layout ?? 'unknown';
}

function article(title: string): string {
  return /^([aeio]|unk|SD)/i.test(title) && !title.startsWith('Stable') ? 'an' : 'a';
}
