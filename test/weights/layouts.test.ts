/**
 * Every layout of networks that users have, as the complete list of its names and shapes: each parameter of the graph
 * is filled by one tensor of the right shape, and no tensor is left over or used for two networks.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { graphFamilies } from '../../lib/graphs.ts';
import { canonicalWeights, type Part } from '../../lib/weights/canonical.ts';
import { identify } from '../../lib/weights/identify.ts';
import type { TensorSource } from '../../lib/weights/types.ts';
import type { Shapes } from './support/files.ts';
import * as lists from './support/key-lists.ts';
import * as models from './support/models.ts';

const sd15 = graphFamilies().find(({ name }) => name === 'sd15');
assert.ok(sd15 !== undefined);
const { graphs } = sd15;

const parametersOf = (...roles: readonly (keyof typeof graphs)[]) =>
  new Map(roles.flatMap((role) => Object.entries(graphs[role].parameters)));
const unet = parametersOf('unet');
const motion = (role: 'unet_motion' | 'unet_motion_mid') =>
  new Map([...parametersOf(role)].filter(([name]) => !unet.has(name)));
const WITH_MIDDLE = motion('unet_motion_mid');
const WITHOUT_MIDDLE = motion('unet_motion');
const withoutTables = (all: Shapes) => new Map([...all].filter(([name]) => !name.endsWith('.pe')));

const UNET = { unet };
const VAE = { vae: parametersOf('vae_encoder', 'vae_decoder') };
const TEXT = { textEncoder: parametersOf('text_encoder') };

/** Networks that a layout fills, and how many of its tensors are no parameters. */
type Filled = Readonly<Partial<Record<Part, Shapes>>>;

const LAYOUTS: readonly (readonly [what: string, tensors: number, list: Shapes, filled: Filled])[] = [
  ['the UNet of an LDM checkpoint', 686, lists.LDM_UNET_SHAPES, UNET],
  ['the VAE of an LDM checkpoint', 248, lists.LDM_VAE_SHAPES, VAE],
  ['the text encoder of an LDM checkpoint', 197, lists.LDM_CLIP_SHAPES, TEXT],
  ['an LDM checkpoint', 1131, lists.LDM_CHECKPOINT, { ...UNET, ...VAE, ...TEXT }],
  ['a diffusers UNet', 686, lists.UNET, UNET],
  ['a diffusers VAE', 248, lists.VAE, VAE],
  ['a text encoder of transformers 4', 196, lists.CLIP, TEXT],
  ['a text encoder of transformers 5', 196, lists.CLIP_BARE, TEXT],
  ['mm_sd_v14 and mm_sd_v15 (v1)', 560, lists.MOTION_V1, { motion: WITHOUT_MIDDLE }],
  ['mm_sd_v15_v2', 588, lists.MOTION_V2, { motion: WITH_MIDDLE }],
  ['v3_sd15_mm', 560, lists.MOTION_V3, { motion: WITHOUT_MIDDLE }],
  ['AnimateLCM_sd15_t2v', 546, lists.MOTION_LCM, { motion: withoutTables(WITH_MIDDLE) }],
  ['AnimateDiff-Lightning for ComfyUI', 588, lists.MOTION_V2, { motion: WITH_MIDDLE }],
  ['AnimateDiff-Lightning for diffusers', 567, lists.MOTION_ADAPTER_V2, { motion: WITH_MIDDLE }],
  ['a MotionAdapter of v2 or AnimateLCM', 567, lists.MOTION_ADAPTER_V2, { motion: WITH_MIDDLE }],
  ['a MotionAdapter of v1', 540, lists.MOTION_ADAPTER_V1, { motion: WITHOUT_MIDDLE }],
  ['a MotionAdapter of v3', 540, lists.MOTION_ADAPTER_V3, { motion: WITHOUT_MIDDLE }],
  ['a UNet that was trained with v2', 1274, lists.UNET_WITH_MOTION, { ...UNET, motion: WITH_MIDDLE }],
];

/** The list as tensors that can be told apart by their offset. */
const tensorsOf = (list: Shapes): Map<string, TensorSource> =>
  new Map(
    Array.from(list, ([name, shape], offset) => [name, { file: 'x', offset, dtype: 'F16' as const, shape }]),
  );

/** 1×1 convolutions are linear layers in the graphs, and position tables have as many rows as they need. */
const comparable = (name: string, shape: readonly number[], wanted: readonly number[]) => {
  if (name.endsWith('.pe')) return [shape[0], shape[2]];
  return wanted.length === 2 && shape.length === 4 ? shape.slice(0, 2) : shape;
};

describe('the names and shapes of', () => {
  for (const [what, count, list, filled] of LAYOUTS) {
    it(`${what}: ${count} tensors map one to one`, () => {
      assert.equal(list.size, count);
      const tensors = tensorsOf(list);
      const { parts, unknown, duplicates, emaTensors } = canonicalWeights(tensors);
      assert.deepEqual([unknown, duplicates, emaTensors], [[], [], 0]);
      const used = new Map<number, string[]>();
      for (const part of ['unet', 'motion', 'vae', 'textEncoder'] as const) {
        const wanted: Shapes = filled[part] ?? new Map();
        assert.deepEqual([...parts[part].keys()].sort(), [...wanted.keys()].sort(), part);
        for (const [name, { shape, offset }] of parts[part]) {
          const target = wanted.get(name) ?? [];
          const [found, expected] = [shape, target].map((one) => comparable(name, one, target));
          assert.deepEqual(found, expected, name);
          used.set(offset, [...(used.get(offset) ?? []), name]);
        }
      }
      // One table of diffusers serves both attentions of its block.
      const shared = [...used.values()].filter(({ length }) => length > 1);
      assert.ok(shared.flat().every((name) => name.endsWith('.pos_encoder.pe')));
      assert.ok(shared.every(({ length }) => length === 2));
      const ignored = [...list.keys()].filter((_, offset) => !used.has(offset));
      assert.ok(ignored.length <= 1 && ignored.every((name) => name.endsWith('.position_ids')));
    });
  }
});

const REFUSED: readonly (readonly [what: string, tensors: number, list: Shapes, is: RegExp])[] = [
  ['mm_sdxl_v10_beta', 420, models.MOTION_SDXL, /a.* motion module for SDXL/],
  ['its MotionAdapter', 405, models.MOTION_ADAPTER_SDXL, /a.* motion module for SDXL/],
  ['HotshotXL', 420, models.MOTION_HOTSHOT, /HotshotXL motion module, which is for SDXL/],
];

describe('a layout that is not supported is recognised by all of its names', () => {
  for (const [what, count, list, is] of REFUSED) {
    it(`${what}: ${count} tensors`, () => {
      assert.equal(list.size, count);
      const tensors = tensorsOf(list);
      const { parts, unknown, duplicates } = canonicalWeights(tensors);
      assert.deepEqual([parts.motion.size, unknown, duplicates], [420, [], []]);
      const { description, usableAs } = identify({
        path: 'x',
        format: 'safetensors',
        size: 0,
        tensors,
        metadata: {},
      });
      assert.match(description, is);
      assert.deepEqual(usableAs, []);
    });
  }
});
