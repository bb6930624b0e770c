/**
 * Names in a `.safetensors` file that `bake` writes. Networks are told apart by the prefixes that other tools use;
 * motion modules have one of their own, so that a tool without motion still takes the file for a checkpoint:
 *
 * | layout    | UNet                     | VAE                  | text encoder                     | motion            |
 * | --------- | ------------------------ | -------------------- | -------------------------------- | ----------------- |
 * | ldm       | `model.diffusion_model.` | `first_stage_model.` | `cond_stage_model.transformer.`  | `motion_module.`  |
 * | diffusers | `unet.`                  | `vae.`               | `text_encoder.`                  | `motion_adapter.` |
 */
import type { Part } from './canonical.ts';
import { diffusersMotionName } from './keys/diffusers-motion.ts';
import { ldmUnetLayer } from './keys/ldm-unet.ts';
import { ldmVaeName } from './keys/ldm-vae.ts';
import type { Role } from './types.ts';

export type FileLayout = 'ldm' | 'diffusers';

/** From the name of a parameter in its graph; `levels` are those of the VAE. */
type Naming = (name: string, levels: number) => string | undefined;

const NAMINGS: Readonly<Record<FileLayout, Readonly<Record<Part, Naming>>>> = {
  ldm: {
    unet: (name) => prefixed('model.diffusion_model.', ldmUnetName(name)),
    vae: (name, levels) => prefixed('first_stage_model.', ldmVaeName(name, levels)),
    textEncoder: (name) => `cond_stage_model.transformer.${name}`,
    motion: (name) => `motion_module.${name}`,
  },
  diffusers: {
    unet: (name) => `unet.${name}`,
    vae: (name) => `vae.${name}`,
    textEncoder: (name) => `text_encoder.${name}`,
    motion: (name) => `motion_adapter.${diffusersMotionName(name)}`,
  },
};

function prefixed(prefix: string, name: string | undefined): string | undefined {
  return name === undefined ? undefined : prefix + name;
}

function ldmUnetName(name: string): string | undefined {
  const [, layer = '', kind = ''] = /^(.+)(\.(?:weight|bias))$/.exec(name) ?? [];
  const renamed = ldmUnetLayer(layer);
  return renamed === undefined ? undefined : renamed + kind;
}

function partOf(role: Role, name: string): Part {
  switch (role) {
    case 'text_encoder':
      return 'textEncoder';
    case 'unet':
      return name.includes('.motion_modules.') ? 'motion' : 'unet';
    case 'vae_decoder':
    case 'vae_encoder':
      return 'vae';
  }
}

/** Attention layers of the VAE are 1×1 convolutions in LDM. */
const VAE_ATTENTION = /^(en|de)coder\.mid_block\.attentions\.0\.to_\w+(\.0)?\.weight$/;

/** Name and shape in the file of a parameter of a graph; `undefined` for one that the layout has no name for. */
export function bakedName(
  layout: FileLayout,
  role: Role,
  name: string,
  shape: readonly number[],
  levels: number,
): { readonly name: string; readonly shape: readonly number[] } | undefined {
  const part = partOf(role, name);
  const renamed = NAMINGS[layout][part](name, levels);
  if (renamed === undefined) return undefined;
  const convolution = layout === 'ldm' && part === 'vae' && shape.length === 2 && VAE_ATTENTION.test(name);
  return { name: renamed, shape: convolution ? [...shape, 1, 1] : shape };
}
