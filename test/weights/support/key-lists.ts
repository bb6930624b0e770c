/** Names and shapes of real models: the fixtures, and what layouts other than the canonical one make of them. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Shapes } from './files.ts';

export const FIXTURES = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../fixtures/weights');

function rows(name: string): readonly (readonly [string, string])[] {
  const lines = readFileSync(path.join(FIXTURES, `${name}.tsv`), 'utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => {
    const [left = '', right = ''] = line.split('\t');
    return [left, right];
  });
}

const shapes = (name: string): Shapes =>
  new Map(rows(name).map(([key, shape]) => [key, shape === '' ? [] : shape.split('x').map(Number)]));

const isMotion = (name: string) => name.includes('.motion_modules.');
const select = (all: Shapes, test: (name: string) => boolean): Shapes =>
  new Map([...all].filter(([name]) => test(name)));
const rename = (all: Shapes, to: (name: string) => string): Shapes =>
  new Map(Array.from(all, ([name, shape]) => [to(name), shape]));

/** LDM name → canonical name, as mmagic's converters map them. */
export const LDM_UNET = new Map(rows('ldm_unet_map'));
export const LDM_VAE = new Map(rows('ldm_vae_map'));

/** The v2 UNet with its 21 motion modules under the canonical names. */
export const UNET_WITH_MOTION = shapes('unet_keys_v2');
export const UNET = select(UNET_WITH_MOTION, (name) => !isMotion(name));
export const MOTION_V2 = select(UNET_WITH_MOTION, isMotion);
export const VAE = shapes('vae_diffusers');
/** As transformers 5 names them, without `text_model.`. */
export const CLIP_BARE = shapes('clip_transformers');
export const CLIP = rename(CLIP_BARE, (name) => `text_model.${name}`);
export const MOTION_ADAPTER_V2 = shapes('motion_adapter_v2');

export const withPositions = (all: Shapes, length: number): Shapes =>
  new Map(
    Array.from(all, ([name, shape]) => [name, name.endsWith('.pe') ? [1, length, shape[2] ?? 0] : shape]),
  );
export const withoutPositions = (all: Shapes): Shapes => select(all, (name) => !name.endsWith('.pe'));
export const withoutMiddle = (all: Shapes): Shapes => select(all, (name) => !name.startsWith('mid_block.'));
export const prefixed = (all: Shapes, prefix: string): Shapes => rename(all, (name) => prefix + name);
export const joined = (...parts: readonly Shapes[]): Shapes => new Map(parts.flatMap((part) => [...part]));
export const replaced = (
  all: Shapes,
  change: (name: string, shape: readonly number[]) => readonly number[],
): Shapes => new Map(Array.from(all, ([name, shape]) => [name, change(name, shape)]));

export const MOTION_V3 = withoutMiddle(MOTION_V2);
export const MOTION_V1 = withPositions(MOTION_V3, 24);
export const MOTION_LCM = withoutPositions(MOTION_V2);
export const MOTION_ADAPTER_V3 = withoutMiddle(MOTION_ADAPTER_V2);
export const MOTION_ADAPTER_V1 = withPositions(MOTION_ADAPTER_V3, 24);

/** In LDM layout; the VAE's attention layers are 1×1 convolutions there. */
export const LDM_UNET_SHAPES: Shapes = new Map(
  Array.from(LDM_UNET, ([ldm, name]) => [ldm, UNET.get(name) ?? []]),
);
export const LDM_VAE_SHAPES: Shapes = new Map(
  Array.from(LDM_VAE, ([ldm, name]) => {
    const shape = VAE.get(name) ?? [];
    return [ldm, shape.length === 2 ? [...shape, 1, 1] : shape];
  }),
);
export const LDM_CLIP_SHAPES = joined(
  prefixed(CLIP, 'cond_stage_model.transformer.'),
  new Map([['cond_stage_model.transformer.text_model.embeddings.position_ids', [1, 77]]]),
);
export const LDM_CHECKPOINT = joined(LDM_UNET_SHAPES, LDM_VAE_SHAPES, LDM_CLIP_SHAPES);
