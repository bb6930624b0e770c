/** Every layout of an adapter gives the same frames; what does not fit the model is refused or told. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import type { LoadOptions } from '../../lib/options.ts';
import { loadTiny, SMALL, tinyFiles } from '../support/pipeline.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeMotionModule } from '../support/tiny-model.ts';
import {
  ATTENTION,
  type LayoutName,
  loraTensors,
  MOTION,
  TEXT,
  TRANSFORMERS,
  writeAdapter,
  writeLora,
} from './support/adapters.ts';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);

async function framesOf(options: Partial<LoadOptions>): Promise<Uint8Array> {
  const pipe = await loadTiny(options);
  try {
    return (await pipe.generate(SMALL)).data;
  } finally {
    await pipe.close();
  }
}

const cases: readonly (readonly [string, typeof MOTION, readonly LayoutName[]])[] = [
  ['UNet and text encoder', [...TRANSFORMERS, ...TEXT], ['kohya', 'kohya-ldm']],
  ['domain adapter', ATTENTION, ['kohya', 'original', 'original-module', 'diffusers-processors']],
  ['MotionLoRA', MOTION, ['kohya', 'original', 'original-module', 'diffusers-processors']],
];

for (const [what, layers, layouts] of cases) {
  describe(`${what} in every layout gives the same frames`, () => {
    let expected: Uint8Array;
    before(async () => {
      expected = await framesOf({ loras: [writeLora(at(`${what}.safetensors`), 'kohya', { layers })] });
      assert.notDeepEqual(expected, await framesOf({}));
    });
    for (const layout of layouts) {
      for (const ending of ['safetensors', 'ckpt']) {
        it(`${layout}.${ending}`, async () => {
          const file = writeLora(at(`${what}-${layout}.${ending}`), layout, { layers });
          assert.deepEqual(await framesOf({ loras: [file] }), expected);
        });
      }
    }
  });
}

describe('an adapter that does not fit', () => {
  const zoom = writeLora(at('zoom.safetensors'), 'original', { layers: MOTION });

  it('is refused when it moves a model without a motion module', async () => {
    await assert.rejects(loadTiny({ motionModule: undefined, loras: [zoom] }), {
      code: 'ERR_INVALID_ARGUMENT',
      message: /MotionLoRA .*Give `motionModule` too/,
    });
  });

  it('is used without its middle module on a motion module that has none, and that is told', async () => {
    writeMotionModule(at('v3.ckpt'), { version: 'v3' });
    const pipe = await loadTiny({ motionModule: at('v3.ckpt'), loras: [zoom] });
    const [notice, ...others] = pipe.notices;
    assert.deepEqual(others, []);
    assert.equal(notice?.code, 'unused-lora-layers');
    assert.match(notice?.message ?? '', /^8 of the 168 layers/);
    await pipe.close();
  });

  it('is refused when none of its layers is there', async () => {
    const layers = ATTENTION.map((layer) => ({ ...layer, path: `other.${layer.path}` }));
    const file = writeLora(at('other.safetensors'), 'kohya', { layers });
    await assert.rejects(loadTiny({ loras: [file] }), {
      code: 'ERR_UNSUPPORTED_MODEL',
      message: /128 of its 128 layers are not in this model/,
    });
  });

  it('is refused when a factor has another width', async () => {
    const layers = ATTENTION.map((layer) => ({ ...layer, shape: [layer.shape[0] ?? 0, 48] }));
    const file = writeLora(at('wide.safetensors'), 'kohya', { layers });
    await assert.rejects(loadTiny({ loras: [file] }), {
      code: 'ERR_WEIGHTS_SHAPE',
      message: /lora_up\.weight' .* does not fit 'down_blocks\.0\.attentions\.0/,
    });
  });

  it('is refused when half of a pair is missing', async () => {
    const tensors = loraTensors('kohya', { layers: ATTENTION }).filter(
      ({ name }) => name !== loraTensors('kohya', { layers: ATTENTION })[0]?.name,
    );
    await assert.rejects(loadTiny({ loras: [writeAdapter(at('half.safetensors'), tensors)] }), {
      code: 'ERR_WEIGHTS_MISSING',
      message: /but not the tensor 'down'/,
    });
  });

  it('is refused when it is no adapter, and an adapter is refused where a model belongs', async () => {
    await assert.rejects(loadTiny({ loras: [tinyFiles().motionModule] }), { code: 'ERR_WRONG_KIND' });
    await assert.rejects(loadTiny({ base: zoom }), {
      code: 'ERR_WRONG_KIND',
      message: /This file fits `loras`/,
    });
  });
});
