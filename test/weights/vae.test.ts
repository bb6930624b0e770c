/** A separate VAE file: every layout of it, what it is laid over, and which VAEs are refused by name. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import type { ErrorCode } from '../../lib/errors.ts';
import { inspectPath } from '../../lib/weights/identify.ts';
import { planModel } from '../../lib/weights/plan.ts';
import { loadTiny, SMALL, tinyFiles } from '../support/pipeline.ts';
import { writeCheckpoint, writeVae } from '../support/tiny-model.ts';
import { rejects } from './support/errors.ts';
import { type Shapes, temporaryFolder, writeHeaderOnly } from './support/files.ts';
import * as lists from './support/key-lists.ts';
import * as models from './support/models.ts';

const folder = temporaryFolder();
let count = 0;
const at = (name: string) => path.join(folder, `${count++}-${name}`);
const write = (name: string, shapes: Shapes, metadata?: Record<string, string>) =>
  writeHeaderOnly(at(`${name}.safetensors`), shapes, 'F16', metadata);

const BASE = write('base', lists.LDM_CHECKPOINT);
const bare = new Map(
  Array.from(lists.LDM_VAE_SHAPES, ([name, shape]) => [name.replace(/^first_stage_model\./, ''), shape]),
);

async function framesOf(options: Parameters<typeof loadTiny>[0]) {
  const pipe = await loadTiny(options);
  try {
    const clip = await pipe.generate(SMALL);
    return { data: clip.data, vae: clip.parameters.vae, sources: pipe.info.sources, notices: pipe.notices };
  } finally {
    await pipe.close();
  }
}

describe('a separate VAE gives the frames of a checkpoint that has it', () => {
  let expected: Uint8Array;
  let otherBase: string;
  before(async () => {
    otherBase = at('other.safetensors');
    writeCheckpoint(otherBase, { variant: 1 });
    const pruned = at('pruned.safetensors');
    writeCheckpoint(pruned, { vae: false });
    const { data, notices } = await framesOf({ base: otherBase, checkpoint: undefined });
    assert.deepEqual(notices, []);
    const { data: own } = await framesOf({});
    assert.notDeepEqual(own, data);
    // UNet and text encoder of one model under the VAE of another, put together without `vae`.
    expected = (await framesOf({ base: otherBase, checkpoint: pruned })).data;
    assert.notDeepEqual(own, expected);
  });

  const layouts: readonly (readonly [string, (file: string) => void])[] = [
    ['bare.safetensors', (file) => writeVae(file, { variant: 1 })],
    ['prefixed.safetensors', (file) => writeVae(file, { variant: 1, naming: 'ldm' })],
    ['diffusers.safetensors', (file) => writeVae(file, { variant: 1, naming: 'diffusers' })],
    ['bare.ckpt', (file) => writeVae(file, { variant: 1, wrapper: 'state_dict' })],
    ['unwrapped.ckpt', (file) => writeVae(file, { variant: 1, wrapper: null })],
    ['diffusers.bin', (file) => writeVae(file, { variant: 1, naming: 'diffusers', wrapper: null })],
  ];
  for (const [name, writeFile] of layouts) {
    it(name, async () => {
      const vae = at(name);
      writeFile(vae);
      const { data, notices, sources, vae: recorded } = await framesOf({ vae });
      assert.deepEqual(data, expected);
      assert.deepEqual(notices, []);
      assert.equal(sources.vae, path.basename(vae));
      assert.equal(recorded, path.basename(vae));
    });
  }

  it('a folder of diffusers', async () => {
    const vae = at('vae');
    writeVae(path.join(vae, 'diffusion_pytorch_model.safetensors'), { variant: 1, naming: 'diffusers' });
    assert.deepEqual((await framesOf({ vae })).data, expected);
  });

  it('wins over that of base and checkpoint, and stands in where they have none', async () => {
    const vae = at('vae.safetensors');
    writeVae(vae, { variant: 1 });
    const { base } = tinyFiles();
    assert.deepEqual((await framesOf({ checkpoint: base, vae })).data, expected);
    const pruned = at('pruned.safetensors');
    writeCheckpoint(pruned, { vae: false });
    const { data, notices } = await framesOf({ base: pruned, vae });
    assert.deepEqual(data, expected);
    assert.deepEqual(notices, []);
  });

  it('goes into a baked archive, over which no other is laid', async () => {
    const vae = at('vae.safetensors');
    writeVae(vae, { variant: 1 });
    const archive = at('baked.pt');
    const pipe = await loadTiny({ vae });
    await pipe.bake(archive);
    await pipe.close();
    const baked = await framesOf({ base: archive, motionModule: undefined });
    assert.deepEqual(baked.data, expected);
    assert.equal(baked.sources.vae, path.basename(vae));
    await rejects(
      loadTiny({ base: archive, motionModule: undefined, vae }),
      'ERR_INVALID_ARGUMENT',
      /leave out .*`vae`/,
    );
  });
});

describe('which VAEs are taken', () => {
  it('are those with all 248 tensors of Stable Diffusion, in either layout', async () => {
    for (const shapes of [lists.LDM_VAE_SHAPES, bare, lists.VAE, lists.prefixed(lists.VAE, 'vae.')]) {
      const vae = write('vae', shapes);
      const { plans, notices } = await planModel({ base: BASE, vae });
      const files = [...plans.vae_decoder.recipes, ...plans.vae_encoder.recipes].map(
        ({ source }) => source?.file,
      );
      assert.deepEqual([files.length, [...new Set(files)], notices], [248, [vae], []]);
      assert.deepEqual((await inspectPath(vae)).usableAs, ['vae']);
    }
  });

  it('are also those of SDXL, when nothing but their tensors could tell', async () => {
    const vae = write('sdxl_vae', lists.LDM_VAE_SHAPES);
    assert.equal((await planModel({ base: BASE, vae })).plans.vae_decoder.recipes[0]?.source?.file, vae);
  });

  const sixteen = lists.replaced(bare, (name, shape) => {
    if (name === 'decoder.conv_in.weight') return [512, 16, 3, 3];
    return name.startsWith('encoder.conv_out.') ? [32, ...shape.slice(1)] : shape;
  });
  const flux = new Map([...sixteen].filter(([name]) => !/(^|\.)(post_)?quant_conv\./.test(name)));
  const time = new Map([['decoder.up.0.block.0.time_stack.in_layers.0.weight', [128]]]);
  const partial = new Map([...bare].filter(([name]) => !name.startsWith('encoder.')));
  const other = { 'modelspec.architecture': 'stable-diffusion-xl-v1-base/vae' };
  const refused: readonly (readonly [string, string, ErrorCode, RegExp])[] = [
    [
      'of Flux',
      write('ae', flux),
      'ERR_UNSUPPORTED_MODEL',
      /is a Stable Diffusion 3 or Flux VAE in LDM layout/,
    ],
    [
      'of Stable Video Diffusion',
      write('svd', lists.joined(bare, time)),
      'ERR_UNSUPPORTED_MODEL',
      /is a Stable Video Diffusion VAE/,
    ],
    [
      'of SDXL by its config',
      models.writeComponent(at('sdxl'), lists.VAE, { scaling_factor: 0.13025 }),
      'ERR_UNSUPPORTED_MODEL',
      /is an SDXL VAE in diffusers layout.*Expected a VAE of Stable Diffusion 1\.x/,
    ],
    ['of SDXL by its metadata', write('xl', bare, other), 'ERR_UNSUPPORTED_MODEL', /is an SDXL VAE/],
    ['without encoder', write('half', partial), 'ERR_WEIGHTS_MISSING', /lacks parameters of the VAE encoder/],
    ['as a whole model', BASE, 'ERR_WRONG_KIND', /checkpoint.*not what `vae` takes.*fits `base`/],
    ['as a motion module', write('mm', lists.MOTION_V2), 'ERR_WRONG_KIND', /motion module.*not what `vae`/],
  ];
  for (const [what, vae, code, message] of refused) {
    it(`are not those ${what}`, async () => {
      await rejects(planModel({ base: BASE, vae }), code, message);
      assert.ok(!(await inspectPath(vae)).usableAs.includes('vae'));
    });
  }

  it('names `vae` as a way out for a base that has none', async () => {
    await rejects(
      planModel({ base: write('bare', lists.LDM_UNET_SHAPES) }),
      'ERR_WEIGHTS_MISSING',
      /has no VAE.*or a VAE as `vae`/,
    );
  });
});
