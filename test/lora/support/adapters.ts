/**
 * Writes adapters of the LoRA kind for the seeded tiny model, in the layouts that users have. The factors of a
 * layer follow from its canonical name, so that every layout of one kind holds the same adapter.
 */
import path from 'node:path';
import { type FamilyName, readFamily } from '../../support/family.ts';
import { diffusersMotionName, ldmUNetName } from '../../support/layouts.ts';
import {
  motionParameters,
  type Parameter,
  textEncoderParameters,
  unetParameters,
} from '../../support/parameters.ts';
import { writeSafetensors } from '../../support/safetensors-writer.ts';
import { seededTensor } from '../../support/seeded-weights.ts';
import { type FloatDType, floatTensor, type Tensor } from '../../support/tensor.ts';
import { writeTorchArchive } from '../../support/torch-archive-writer.ts';

/** A layer that an adapter changes: canonical path without `.weight`, and the weight's shape. */
export interface Layer {
  readonly role: 'unet' | 'text_encoder';
  readonly path: string;
  readonly shape: readonly number[];
}

const family = readFamily('tiny');

/** Layers of a network whose canonical path fits. */
export function layersOf(role: Layer['role'], parameters: readonly Parameter[], pattern: RegExp): Layer[] {
  return parameters.flatMap(([name, shape]) => {
    const layer = name.replace(/\.weight$/, '');
    return name.endsWith('.weight') && shape.length > 1 && pattern.test(layer)
      ? [{ role, path: layer, shape }]
      : [];
  });
}

const PROJECTIONS = /\.(to_[qkv]|to_out\.0)$/;
const TEXT_LAYERS = /\.(self_attn\.\w+|mlp\.fc[12])$/;

/** Attention of the spatial transformers: what most LoRAs and the domain adapter change. */
export function attentionLayers(name: FamilyName): Layer[] {
  return layersOf('unet', unetParameters(readFamily(name).unet), PROJECTIONS);
}

export const ATTENTION = attentionLayers('tiny');
/** Also feed-forward layers and the 1×1 convolutions around a transformer, as kohya trains them. */
export const TRANSFORMERS = layersOf(
  'unet',
  unetParameters(family.unet),
  /\.attentions\.\d\.(proj_(in|out)$|.*(to_[qkv]|to_out\.0|ff\.net\.(0\.proj|2))$)/,
);
/** 3×3 convolutions, as LoCon changes them. */
export const CONVOLUTIONS = layersOf(
  'unet',
  unetParameters(family.unet),
  /resnets\.\d\.(conv[12]|conv_shortcut|time_emb_proj)$|samplers\.0\.conv$/,
);
export const TEXT = layersOf('text_encoder', textEncoderParameters(family.text_encoder), TEXT_LAYERS);
/** Attention of the 21 motion modules. */
export const MOTION = layersOf('unet', motionParameters(family.motion.v2), PROJECTIONS);

/** `up` [out, rank] and `down` [rank, in · kernel], with a product of about the size of the weights. */
export function lowRankFactors({ path: layer, shape }: Layer, rank: number, variant = 0) {
  const [out = 1, ...rest] = shape;
  const columns = rest.reduce((product, size) => product * size, 1);
  return {
    up: seededTensor(`${layer}.lora.up.weight`, [out, rank], variant),
    down: seededTensor(`${layer}.lora.down.weight`, [rank, columns], variant),
  };
}

export interface AdapterOptions {
  readonly layers: readonly Layer[];
  /** Default 4. */
  readonly rank?: number;
  /** Kohya's `.alpha`; left out by default. */
  readonly alpha?: number;
  readonly dtype?: FloatDType;
  /** Other factors of the same distribution. */
  readonly variant?: number;
}

/** Names of a layer's `up` and `down`, and of its `alpha`. */
type Naming = (layer: Layer) => { readonly up: string; readonly down: string; readonly alpha: string };

const NETWORKS = { unet: 'lora_unet', text_encoder: 'lora_te' } as const;

const kohya =
  (rename: (name: string) => string): Naming =>
  ({ role, path: layer }) => {
    const named = role === 'unet' ? rename(`${layer}.weight`).replace(/\.weight$/, '') : layer;
    const name = `${NETWORKS[role]}_${named.replaceAll('.', '_')}`;
    return { up: `${name}.lora_up.weight`, down: `${name}.lora_down.weight`, alpha: `${name}.alpha` };
  };

const processor =
  (prefix: string, rename: (name: string) => string): Naming =>
  ({ path: layer }) => {
    const [, block, projection] = /^(.+)\.(to_\w+?)(?:\.0)?$/.exec(rename(layer)) ?? [];
    const name = `${prefix}${block}.processor.${projection}_lora`;
    return { up: `${name}.up.weight`, down: `${name}.down.weight`, alpha: `${name}.alpha` };
  };

const same = (name: string) => name;

/** The layouts of plain LoRAs. */
export const LAYOUTS = {
  kohya: kohya(same),
  'kohya-ldm': kohya((name) => ldmUNetName(name).replace('model.diffusion_model.', '')),
  original: processor('', same),
  'original-module': processor('module.', same),
  'diffusers-processors': processor('unet.', diffusersMotionName),
} satisfies Record<string, Naming>;

export type LayoutName = keyof typeof LAYOUTS;

function lowRankTensors(layer: Layer, naming: Naming, options: AdapterOptions): Tensor[] {
  const { rank = 4, alpha, dtype = 'F32', variant } = options;
  const { up, down } = lowRankFactors(layer, rank, variant);
  const [out = 1, columns = 1, ...kernel] = layer.shape;
  const names = naming(layer);
  const ones = kernel.map(() => 1);
  return [
    floatTensor(names.down, [rank, columns, ...kernel], dtype, () => down),
    floatTensor(names.up, [out, rank, ...ones], dtype, () => up),
    ...(alpha === undefined ? [] : [floatTensor(names.alpha, [], dtype, () => Float32Array.of(alpha))]),
  ];
}

/** The tensors of a LoRA in a layout. */
export function loraTensors(layout: LayoutName, options: AdapterOptions): Tensor[] {
  return options.layers.flatMap((layer) => lowRankTensors(layer, LAYOUTS[layout], options));
}

/** Writes tensors by the ending of the name: `.safetensors`, or torch's archive. Returns the path. */
export function writeAdapter(file: string, tensors: readonly Tensor[]): string {
  if (path.extname(file) === '.safetensors') writeSafetensors(file, tensors);
  else writeTorchArchive(file, tensors, { wrapper: 'state_dict' });
  return file;
}

/** Writes a LoRA and returns its path. */
export function writeLora(file: string, layout: LayoutName, options: AdapterOptions): string {
  return writeAdapter(file, loraTensors(layout, options));
}
