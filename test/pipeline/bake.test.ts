/** `bake` to one safetensors file: its names are those of published files, and it gives the frames of its maker. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { BakeLayout, LoadOptions, MotionVersion } from '../../lib/options.ts';
import { inspectPath } from '../../lib/weights/identify.ts';
import { readSafetensors } from '../../lib/weights/safetensors.ts';
import { tensorBytes } from '../../lib/weights/shapes.ts';
import { readTorchScript } from '../../lib/weights/torchscript.ts';
import type { TensorSource } from '../../lib/weights/types.ts';
import { ATTENTION, writeLora } from '../lora/support/adapters.ts';
import { loadTiny, SMALL, tinyFiles } from '../support/pipeline.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import {
  writeMotionAdapter,
  writeMotionModule,
  writePipelineFolder,
  writeVae,
} from '../support/tiny-model.ts';
import { rejects } from '../weights/support/errors.ts';

const folder = temporaryFolder();
let count = 0;
const at = (name: string) => path.join(folder, `${count++}-${name}`);

const vae = at('vae.safetensors');
writeVae(vae, { variant: 1 });
const lora = writeLora(at('lora.safetensors'), 'kohya', { layers: ATTENTION, rank: 2 });

function motionModule(version: MotionVersion) {
  const file = at(`${version}.ckpt`);
  writeMotionModule(file, { version: version === 'v3' ? 'v3' : version === 'v1' ? 'v1' : 'v2' });
  return { path: file, version };
}

async function bake(options: Partial<LoadOptions>, file: string, layout?: BakeLayout): Promise<Uint8Array> {
  const pipe = await loadTiny(options);
  try {
    const { data } = await pipe.generate(SMALL);
    await pipe.bake(file, { layout });
    return data;
  } finally {
    await pipe.close();
  }
}

const bytesOf = (file: string, source: TensorSource | undefined) => {
  assert.ok(source !== undefined);
  return readFileSync(file).subarray(source.offset, source.offset + tensorBytes(source));
};

/** Names, element types, shapes and hashes of all tensors. */
async function contents(file: string) {
  const { tensors } = file.endsWith('.pt') ? await readTorchScript(file) : await readSafetensors(file);
  const hash = (source: TensorSource) => createHash('sha256').update(bytesOf(file, source)).digest('hex');
  return Array.from(tensors, ([name, source]) => [name, source.dtype, source.shape, hash(source)]);
}

describe('a baked safetensors file gives the frames of the pipeline that wrote it, bit by bit', () => {
  const cases: readonly (readonly [string, BakeLayout, Partial<LoadOptions>])[] = [
    ['v2 with LoRA and VAE', 'ldm', { loras: [{ path: lora, scale: 0.7 }], vae }],
    ['v2 with LoRA and VAE', 'diffusers', { loras: [{ path: lora, scale: 0.7 }], vae }],
    ['v3', 'ldm', { dtype: 'float16', motionModule: motionModule('v3') }],
    ['v1', 'diffusers', { dtype: 'bfloat16', motionModule: motionModule('v1') }],
    ['v2', 'ldm', { dtype: 'bfloat16', compat: 'diffusers' }],
    ['v2', 'diffusers', { dtype: 'float16' }],
  ];
  for (const [name, layout, options] of cases) {
    const { dtype = 'float32', compat } = options;
    it(`${name}, ${layout} layout, ${dtype}`, async () => {
      const file = at('baked.safetensors');
      const expected = await bake(options, file, layout);
      const pipe = await loadTiny({ base: file, motionModule: undefined, dtype, compat });
      try {
        assert.deepEqual((await pipe.generate(SMALL)).data, expected);
        assert.deepEqual(pipe.notices, []);
        const { motion, sources } = pipe.info;
        assert.equal(motion?.version, name.slice(0, 2));
        assert.equal(motion?.maxFrames, name === 'v1' ? 24 : 32);
        assert.equal(sources.base, path.basename(tinyFiles().base));
        assert.equal(sources.vae, options.vae === undefined ? undefined : path.basename(vae));
        assert.equal(sources.loras?.[0]?.scale, options.loras === undefined ? undefined : 0.7);
      } finally {
        await pipe.close();
      }
    });
  }

  for (const [dtype, name, layout] of [
    ['bfloat16', 'half.safetensors', 'diffusers'],
    ['float16', 'half.pt', 'torchscript'],
  ] as const) {
    it(`with another element type it is what a pipeline of that type writes: ${dtype}, ${layout} layout`, async () => {
      const [file, wanted] = [at(name), at(name)];
      const loras = [{ path: lora, scale: 0.7 }];
      await bake({ dtype, loras }, wanted, layout);
      await using pipe = await loadTiny();
      await pipe.setLoras(loras);
      const before = await pipe.generate(SMALL);
      await pipe.bake(file, { layout, dtype });
      assert.deepEqual(await contents(file), await contents(wanted));
      assert.deepEqual((await pipe.generate(SMALL)).data, before.data);
    });
  }

  it('refuses an element type that it does not know', async () => {
    await using pipe = await loadTiny();
    await assert.rejects(pipe.bake(at('a.pt'), { dtype: 'int8' as 'float16' }), {
      code: 'ERR_INVALID_ARGUMENT',
      message: /'float32', 'bfloat16', 'float16' for `dtype`, got 'int8'/,
    });
  });

  it('without a motion module it takes another one', async () => {
    const file = at('still.safetensors');
    const still = await loadTiny({ motionModule: undefined });
    await still.bake(file);
    await still.close();
    const expected = await bake({}, at('expected.pt'));
    assert.deepEqual(await bake({ base: file }, at('again.pt')), expected);
  });

  it('a position table that is no sinusoid stays as it is', async () => {
    const module = at('own-table.safetensors');
    writeMotionModule(module, { version: 'v2' });
    const { tensors } = await readSafetensors(module);
    const content = readFileSync(module);
    for (const [name, { offset }] of tensors) {
      // Off by less than what passes for rounding in float16, more than what does in float32.
      if (name.endsWith('.pe')) content.writeFloatLE(content.readFloatLE(offset + 4) - 4e-4, offset + 4);
    }
    writeFileSync(module, content);
    const file = at('baked.safetensors');
    const half = { dtype: 'float16' } as const;
    await bake({ ...half, motionModule: module }, file);
    const again = at('again.safetensors');
    await bake({ ...half, base: file, motionModule: undefined }, again);
    const [one, two] = [await readSafetensors(file), await readSafetensors(again)];
    const exact = at('exact.safetensors');
    await bake(half, exact);
    const plain = await readSafetensors(exact);
    const tables = [...one.tensors.keys()].filter((name) => name.endsWith('.pe'));
    assert.ok(tables.length > 0);
    for (const name of tables) {
      const table = bytesOf(file, one.tensors.get(name));
      assert.ok(table.equals(bytesOf(again, two.tensors.get(name))), name);
      assert.ok(!table.equals(bytesOf(exact, plain.tensors.get(name))), name);
    }
  });
});

describe('the names in a baked file', () => {
  it('are those of published LDM checkpoints, each tensor in their shapes and with their bytes', async () => {
    const file = at('ldm.safetensors');
    await bake({}, file);
    const [source, baked] = [await readSafetensors(tinyFiles().base), await readSafetensors(file)];
    const networks = /^(model\.diffusion_model|first_stage_model|cond_stage_model)\./;
    const wanted = [...source.tensors.keys()].filter(
      (key) => networks.test(key) && !key.endsWith('position_ids'),
    );
    const found = [...baked.tensors.keys()].filter((name) => !name.startsWith('motion_module.'));
    assert.deepEqual(found.sort(), wanted.sort());
    for (const name of wanted) {
      const [one, two] = [source.tensors.get(name), baked.tensors.get(name)];
      assert.deepEqual(two?.shape, one?.shape, name);
      assert.ok(bytesOf(file, two).equals(bytesOf(tinyFiles().base, one)), name);
    }
    assert.equal(baked.metadata.format, 'pt');
    const { usableAs, unknown, missing } = await inspectPath(file);
    assert.deepEqual(
      [usableAs, unknown.count, missing.count],
      [['base', 'checkpoint', 'motionModule'], 0, 0],
    );
  });

  it("are those of diffusers' folders and MotionAdapter under their components", async () => {
    const file = at('diffusers.safetensors');
    await bake({}, file, 'diffusers');
    const [pipeline, adapter] = [at('pipeline'), at('adapter')];
    writePipelineFolder(pipeline);
    writeMotionAdapter(adapter, { version: 'v2' });
    const wanted: string[] = [];
    for (const [prefix, weights] of [
      ['unet', path.join(pipeline, 'unet/diffusion_pytorch_model.safetensors')],
      ['vae', path.join(pipeline, 'vae/diffusion_pytorch_model.safetensors')],
      ['text_encoder', path.join(pipeline, 'text_encoder/model.safetensors')],
      ['motion_adapter', path.join(adapter, 'diffusion_pytorch_model.safetensors')],
    ] as const) {
      for (const name of (await readSafetensors(weights)).tensors.keys()) wanted.push(`${prefix}.${name}`);
    }
    const { tensors } = await readSafetensors(file);
    assert.deepEqual([...tensors.keys()].sort(), wanted.sort());
  });
});

describe('a bake to safetensors', () => {
  it('refuses a name that does not go with the layout, and leaves nothing beside its file', async () => {
    const own = temporaryFolder();
    const pipe = await loadTiny({ motionModule: undefined });
    try {
      for (const [name, layout] of [
        ['a.pt', 'ldm'],
        ['a.safetensors', 'torchscript'],
      ] as const) {
        await rejects(
          pipe.bake(path.join(own, name), { layout }),
          'ERR_INVALID_ARGUMENT',
          /for the layout '(ldm|torchscript)'/,
        );
      }
      assert.deepEqual(readdirSync(own), []);
      await pipe.bake(path.join(own, 'a.safetensors'));
      assert.deepEqual(readdirSync(own), ['a.safetensors']);
    } finally {
      await pipe.close();
    }
  });
});
