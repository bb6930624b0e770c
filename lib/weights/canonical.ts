/**
 * Sorts the tensors of a file by network and gives them the names that the graphs use: diffusers names for
 * UNet and VAE, Hugging Face names for the text encoder, AnimateDiff's own for motion modules.
 */
import { diffusersUnetKey, diffusersVaeKey } from './keys/diffusers.ts';
import { type MotionLayout, motionKeys } from './keys/diffusers-motion.ts';
import { clipTextKey } from './keys/ldm-clip.ts';
import { ldmUnetKey } from './keys/ldm-unet.ts';
import { ldmVaeKey, ldmVaeLevels } from './keys/ldm-vae.ts';
import { isByproduct, isEmaCopy, splitPrefix } from './keys/prefixes.ts';
import type { TensorSource } from './types.ts';

export type Part = 'unet' | 'motion' | 'vae' | 'textEncoder';
export type Layout = 'ldm' | 'diffusers' | MotionLayout;

export interface CanonicalWeights {
  /** Tensors of each network under canonical names. */
  readonly parts: Readonly<Record<Part, ReadonlyMap<string, TensorSource>>>;
  /** Layout of each network that is present. */
  readonly layouts: Readonly<Partial<Record<Part, Layout>>>;
  /** Original names that belong to no network, without EMA copies and by-products. */
  readonly unknown: readonly string[];
  readonly emaTensors: number;
  /** Original names that stand for a parameter which another tensor of the file already fills. */
  readonly duplicates: readonly string[];
}

interface Place {
  readonly part: Part;
  readonly layout: Layout;
  readonly names: readonly string[];
}

/** Sorts all tensors of a file. Never throws; what is not understood is listed as unknown. */
export function canonicalWeights(tensors: ReadonlyMap<string, TensorSource>): CanonicalWeights {
  const parts = {
    unet: new Map(),
    motion: new Map(),
    vae: new Map(),
    textEncoder: new Map(),
  } satisfies Record<Part, Map<string, TensorSource>>;
  const layouts: Partial<Record<Part, Layout>> = {};
  const unknown: string[] = [];
  const duplicates: string[] = [];
  let emaTensors = 0;
  const levels = ldmVaeLevels(Array.from(tensors.keys(), (name) => splitPrefix(name).rest));

  for (const [name, source] of tensors) {
    if (isEmaCopy(name)) emaTensors += 1;
    else if (isByproduct(name)) continue;
    else {
      const place = findPlace(name, levels);
      if (place === undefined) unknown.push(name);
      for (const target of place?.names ?? []) {
        const part: Map<string, TensorSource> = parts[place?.part ?? 'unet'];
        if (part.has(target)) duplicates.push(name);
        else part.set(target, source);
      }
      if (place !== undefined) layouts[place.part] ??= place.layout;
    }
  }
  return { parts, layouts, unknown, emaTensors, duplicates };
}

function findPlace(name: string, vaeLevels: number): Place | undefined {
  const { component, rest } = splitPrefix(name);
  const motion = motionKeys(rest);
  if (motion !== undefined) return { part: 'motion', ...motion };
  switch (component) {
    case 'unet':
      return unetPlace(rest);
    case 'vae':
      return vaePlace(rest, vaeLevels);
    case 'text_encoder':
      return textPlace(rest);
    case undefined:
      return unetPlace(rest) ?? vaePlace(rest, vaeLevels) ?? textPlace(rest);
  }
}

function unetPlace(rest: string): Place | undefined {
  return toPlace('unet', 'ldm', ldmUnetKey(rest)) ?? toPlace('unet', 'diffusers', diffusersUnetKey(rest));
}

/** Layers outside of the blocks have the same names in both layouts; the blocks decide which it is. */
function vaePlace(rest: string, levels: number): Place | undefined {
  const layout = levels > 0 ? 'ldm' : 'diffusers';
  return toPlace('vae', layout, layout === 'ldm' ? ldmVaeKey(rest, levels) : diffusersVaeKey(rest));
}

function textPlace(rest: string): Place | undefined {
  return toPlace('textEncoder', 'diffusers', clipTextKey(rest));
}

function toPlace(part: Part, layout: Layout, name: string | undefined): Place | undefined {
  return name === undefined ? undefined : { part, layout, names: [name] };
}
