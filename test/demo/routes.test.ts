/**
 * The variants of the demo model come through every layout and through `bake` as the same frames, bit by bit, so that
 * the quality that models/demo/README.md states is theirs on every way.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import type { LoadOptions } from '../../lib/options.ts';
import { PACKAGE_ROOT } from '../../lib/package-info.ts';
import { readSafetensors } from '../../lib/weights/safetensors.ts';
import { type Model, openModel, readModel } from '../../scripts/eval-demo/model.ts';
import { LAYOUTS, type Layer, layersOf } from '../lora/support/adapters.ts';
import { readFamily } from '../support/family.ts';
import { motionParameters, unetParameters } from '../support/parameters.ts';
import { writeSafetensors } from '../support/safetensors-writer.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { byteLength, type Tensor } from '../support/tensor.ts';
import { writeTorchArchive } from '../support/torch-archive-writer.ts';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);
const shipped = (name: string) => path.join(PACKAGE_ROOT, 'models', 'demo', name);

const REQUEST = { prompt: 'a red star moving up over the grass', seed: 3, steps: 4 };

async function framesOf(model: Model, load: Partial<LoadOptions> = {}): Promise<Uint8Array> {
  const pipe = await openModel({ ...model, load: { ...model.load, ...load } });
  try {
    const [clip] = await pipe.generate({ ...model.settings, ...REQUEST, prompt: [REQUEST.prompt] });
    assert.ok(clip);
    return clip.data;
  } finally {
    await pipe.close();
  }
}

const family = readFamily('demo');
const SPATIAL = layersOf('unet', unetParameters(family.unet), /./);
const MOTION = layersOf('unet', motionParameters(family.motion.v2), /./);

/** Old and new name of the factors of every layer that may be adapted. */
type Naming = (layer: Layer) => { readonly up: string; readonly down: string };

/** PEFT, as diffusers saves LoRAs today. Its files have no alpha: rank and alpha of ours are equal. */
const peft: Naming = ({ path: layer }) => ({
  up: `unet.${layer}.lora_B.weight`,
  down: `unet.${layer}.lora_A.weight`,
});

/** The tensors of a shipped adapter under the names of another layout. */
async function retold(name: string, layers: readonly Layer[], from: Naming, to: Naming): Promise<Tensor[]> {
  const file = await readSafetensors(shipped(name));
  const bytes = readFileSync(file.path);
  const renamed = new Map(
    layers.flatMap((layer) => (['up', 'down'] as const).map((part) => [from(layer)[part], to(layer)[part]])),
  );
  const tensors = [...file.tensors]
    .filter(([old]) => !old.endsWith('.alpha'))
    .map(([old, { offset, dtype, shape }]): Tensor => {
      const renamedTo = renamed.get(old);
      assert.ok(renamedTo, old);
      const size = byteLength({ dtype, shape });
      return { name: renamedTo, dtype, shape, bytes: () => bytes.subarray(offset, offset + size) };
    });
  assert.ok(tensors.length > 300);
  return tensors;
}

const adapters = {
  crayon: ['crayon_lora.safetensors', SPATIAL, LAYOUTS.kohya, { peft }],
  'zoom-in': [
    'zoom_in_motion_lora.safetensors',
    MOTION,
    LAYOUTS.original,
    { 'diffusers processors': LAYOUTS['diffusers-processors'], kohya: LAYOUTS.kohya },
  ],
} as const;

for (const variant of ['crayon', 'zoom-in', 'neon'] as const) {
  describe(`${variant} gives the same frames`, () => {
    let model: Model;
    let expected: Uint8Array;

    before(async () => {
      model = await readModel(`demo-${variant}.yaml`);
      expected = await framesOf(model);
      assert.notDeepEqual(expected, await framesOf(await readModel('demo.yaml')));
    });

    if (variant !== 'neon') {
      const [name, layers, original, layouts] = adapters[variant];
      for (const [layout, naming] of Object.entries<Naming>(layouts)) {
        it(`from a .safetensors and a .ckpt in the layout of ${layout}`, async () => {
          const tensors = await retold(name, layers, original, naming);
          writeSafetensors(at('lora.safetensors'), tensors);
          assert.deepEqual(await framesOf(model, { loras: [at('lora.safetensors')] }), expected);
          writeTorchArchive(at('lora.ckpt'), tensors, { wrapper: 'state_dict' });
          assert.deepEqual(await framesOf(model, { loras: [at('lora.ckpt')] }), expected);
        });
      }
    }

    for (const [file, layout] of [
      ['baked.pt', 'torchscript'],
      ['baked-ldm.safetensors', 'ldm'],
      ['baked-diffusers.safetensors', 'diffusers'],
    ] as const) {
      it(`baked as ${layout}`, async () => {
        const pipe = await openModel(model);
        try {
          await pipe.bake(at(file), { layout });
        } finally {
          await pipe.close();
        }
        const baked = { base: at(file), checkpoint: undefined, motionModule: undefined, loras: [] };
        assert.deepEqual(await framesOf(model, baked), expected);
      });
    }
  });
}
