import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { AnimateDiff } from '../../lib/animatediff.ts';
import type { LoadProgress, Notice } from '../../lib/events.ts';
import type { LoadOptions } from '../../lib/options.ts';
import { loadTiny, SMALL, tinyFiles } from '../support/pipeline.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import {
  writeCheckpoint,
  writeMotionAdapter,
  writeMotionModule,
  writePipelineFolder,
} from '../support/tiny-model.ts';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);

async function framesOf(options: Partial<LoadOptions>): Promise<Uint8Array> {
  const pipe = await loadTiny(options);
  try {
    return (await pipe.generate({ ...SMALL, scheduler: 'ddim', guidanceScale: 7.5 })).data;
  } finally {
    await pipe.close();
  }
}

/** Position and size of a tensor in a safetensors file. */
function locate(file: string, name: string): { readonly start: number; readonly bytes: number } {
  const content = readFileSync(file);
  const data = 8 + Number(content.readBigUInt64LE());
  const entries = JSON.parse(content.toString('utf8', 8, data)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const [from, to] = entries[name]?.data_offsets ?? assert.fail(`${name} is not in ${file}`);
  return { start: data + from, bytes: to - from };
}

function overwrite(file: string, start: number, values: Float32Array): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, new Uint8Array(values.buffer), 0, values.byteLength, start);
  closeSync(descriptor);
}

function scaleTensor(file: string, name: string, factor: number): void {
  const { start, bytes } = locate(file, name);
  const values = new Float32Array(Uint8Array.from(readFileSync(file).subarray(start, start + bytes)).buffer);
  overwrite(
    file,
    start,
    values.map((value) => value * factor),
  );
}

describe('every layout of the same weights gives the same frames', () => {
  let expected: Uint8Array;
  before(async () => {
    expected = await framesOf({});
  });

  const bases: readonly (readonly [string, (file: string) => void])[] = [
    ['base.ckpt', (file) => writeCheckpoint(file)],
    ['wrapped.ckpt', (file) => writeCheckpoint(file, { wrapper: 'state_dict', scalars: { global_step: 7 } })],
    [
      'dreambooth.ckpt',
      (file) =>
        writeCheckpoint(file, {
          ema: true,
          scalars: { epoch: 3, global_step: 7, 'pytorch-lightning_version': '1.4.2' },
          optimizer: ['exp_avg', 'exp_avg_sq'].map((name) => ({
            name,
            dtype: 'F32',
            shape: [64],
            bytes: () => new Uint8Array(256).fill(0xff),
          })),
        }),
    ],
    ['averaged.safetensors', (file) => writeCheckpoint(file, { ema: true })],
    ['folder', (file) => writePipelineFolder(file)],
    ['folder-bin', (file) => writePipelineFolder(file, { format: 'bin' })],
    ['folder-old-vae', (file) => writePipelineFolder(file, { oldVaeNames: true })],
    ['folder-sharded', (file) => writePipelineFolder(file, { shards: 3 })],
  ];
  for (const [name, write] of bases) {
    it(`base: ${name}`, async () => {
      write(at(name));
      assert.deepEqual(await framesOf({ base: at(name) }), expected);
    });
  }

  const modules: readonly (readonly [string, (file: string) => void])[] = [
    ['motion.safetensors', (file) => writeMotionModule(file, { version: 'v2' })],
    ['motion-module-prefix.ckpt', (file) => writeMotionModule(file, { version: 'v2', prefix: 'module.' })],
    ['motion-wrapped.ckpt', (file) => writeMotionModule(file, { version: 'v2', wrapper: 'state_dict' })],
    ['adapter', (file) => writeMotionAdapter(file, { version: 'v2' })],
    ['animatelcm.ckpt', (file) => writeMotionModule(file, { version: 'animatelcm' })],
  ];
  for (const [name, write] of modules) {
    it(`motion module: ${name}`, async () => {
      write(at(name));
      assert.deepEqual(await framesOf({ motionModule: at(name) }), expected);
    });
  }
});

describe('load', () => {
  it('reads half-precision files, and computes in the dtype that was chosen', async () => {
    writeCheckpoint(at('half.safetensors'), { dtype: 'F16' });
    const bytes: Record<string, number> = {};
    for (const dtype of ['float32', 'bfloat16', 'float16'] as const) {
      const pipe = await loadTiny({ base: at('half.safetensors'), dtype });
      assert.equal(pipe.info.dtype, dtype);
      bytes[dtype] = (await pipe.memory()).weights;
      assert.equal((await pipe.generate(SMALL)).frameCount, 4);
      await pipe.close();
    }
    assert.equal(bytes.float32, 2 * (bytes.bfloat16 ?? 0));
    assert.equal(bytes.float32, 2 * (bytes.float16 ?? 0));
  });

  it('decodes in float32, and says so, when a float16 VAE overflows', async () => {
    const file = at('loud-vae.safetensors');
    copyFileSync(tinyFiles().base, file);
    scaleTensor(file, 'first_stage_model.decoder.conv_in.weight', 1e5);
    const quiet = await loadTiny({ base: file });
    const expected = await quiet.generate(SMALL);
    assert.deepEqual(quiet.notices, []);
    await quiet.close();
    const pipe = await loadTiny({ base: file, dtype: 'float16' });
    const clip = await pipe.generate(SMALL);
    assert.deepEqual(
      pipe.notices.map((notice) => notice.code),
      ['vae-float32'],
    );
    const differences = clip.data.map((value, index) => Math.abs(value - (expected.data[index] ?? 0)));
    assert.ok(Math.max(...differences) < 20, 'the picture is that of float32');
    await pipe.close();
  });

  it('detects the motion module and says how many frames it takes', async () => {
    for (const [version, maxFrames] of [
      ['v1', 24],
      ['v2', 32],
      ['v3', 32],
      ['animatelcm', 64],
    ] as const) {
      const file = at(`${version}.ckpt`);
      writeMotionModule(file, { version });
      const pipe = await loadTiny({ motionModule: file });
      assert.deepEqual(pipe.info.motion, { version, maxFrames });
      await pipe.close();
    }
  });

  it('keeps VAE and text encoder of the base under a checkpoint that has none, and says so', async () => {
    writeCheckpoint(at('dreambooth.safetensors'), { variant: 1, vae: false, textEncoder: false });
    const notices: Notice[] = [];
    const pipe = await loadTiny({
      checkpoint: at('dreambooth.safetensors'),
      onNotice: (notice) => notices.push(notice),
    });
    const codes = notices.map((notice) => notice.code);
    assert.ok(codes.includes('kept-vae') && codes.includes('kept-text-encoder'), codes.join());
    assert.notDeepEqual((await pipe.generate(SMALL)).data, await framesOf({}));
    await pipe.close();
  });

  it('reports bytes that only grow, up to the total', async () => {
    const events: LoadProgress[] = [];
    const pipe = await loadTiny({ onProgress: (event) => events.push(event) });
    await pipe.close();
    const done = events.filter((event) => event.phase === 'weights').map((event) => event.done);
    assert.deepEqual(
      done,
      done.toSorted((a, b) => a - b),
    );
    assert.equal(done.at(-1), events.at(-1)?.total);
  });

  const wrong: readonly (readonly [string, Partial<LoadOptions>, string])[] = [
    ['a base that is not there', { base: at('none.safetensors') }, 'ERR_FILE_NOT_FOUND'],
    ['a motion module given as base', { base: tinyFiles().motionModule }, 'ERR_WRONG_KIND'],
    ['a base given as motion module', { motionModule: tinyFiles().base }, 'ERR_WRONG_KIND'],
    ['an unknown device', { device: 'gpu' as 'cpu' }, 'ERR_INVALID_ARGUMENT'],
    ['an unknown dtype', { dtype: 'fp16' as 'float16' }, 'ERR_INVALID_ARGUMENT'],
    ['a signal that is none', { signal: {} as AbortSignal }, 'ERR_INVALID_ARGUMENT'],
    ['an unknown option', { motion: 'x' } as Partial<LoadOptions>, 'ERR_INVALID_ARGUMENT'],
    ['a LibTorch that is not there', { libtorch: at('nowhere') }, 'ERR_LIBTORCH_NOT_FOUND'],
  ];
  for (const [what, options, code] of wrong) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(loadTiny(options), { code });
    });
  }

  it('refuses NaN weights by the name of the tensor', async () => {
    const file = at('nan.safetensors');
    copyFileSync(tinyFiles().base, file);
    const name = 'model.diffusion_model.middle_block.1.proj_in.weight';
    overwrite(file, locate(file, name).start, Float32Array.of(Number.NaN));
    await assert.rejects(loadTiny({ base: file }), {
      code: 'ERR_WEIGHTS_NOT_FINITE',
      message: /mid_block\.attentions\.0\.proj_in\.weight/,
    });
  });

  it('refuses a file that was cut off', async () => {
    const file = at('cut.safetensors');
    copyFileSync(tinyFiles().base, file);
    truncateSync(file, statSync(file).size - 1000);
    await assert.rejects(loadTiny({ base: file }), { code: 'ERR_FILE_CORRUPT' });
  });

  it('does not fall back to the CPU when CUDA was asked for', {
    skip: process.env.ANIMATEDIFF_TEST_DEVICE === 'cuda',
  }, async () => {
    await assert.rejects(loadTiny({ device: 'cuda' }), { code: 'ERR_DEVICE_UNAVAILABLE' });
  });
});

describe('memory that the system refuses', () => {
  it('is ERR_OUT_OF_MEMORY, and the pipeline works afterwards', () => {
    const { base, motionModule } = tinyFiles();
    const program = `
      import { AnimateDiff } from ${JSON.stringify(path.resolve('dist/index.js'))};
      const files = ${JSON.stringify({ base, motionModule, device: 'cpu', dtype: 'float32', threads: 1 })};
      const pipe = await AnimateDiff.load(files);
      const small = ${JSON.stringify(SMALL)};
      await pipe.generate(small);
      const error = await pipe.generate({ ...small, width: 4096, height: 4096, frames: 32 }).catch((error) => error);
      console.log(error.code, error.message.length < 400, (await pipe.generate(small)).frameCount);
      await pipe.close();`;
    const command = 'ulimit -v 3000000; exec "$0" --input-type=module -e "$1"';
    const { stdout, stderr } = spawnSync('bash', ['-c', command, process.execPath, program], {
      encoding: 'utf8',
      timeout: 120_000,
    });
    assert.equal(stdout, 'ERR_OUT_OF_MEMORY true 4\n', stderr);
  });
});

describe('bake', () => {
  it('writes an archive that gives the same frames, bit by bit', async () => {
    const pipe = await loadTiny();
    await pipe.bake(at('baked.pt'));
    const expected = await pipe.generate(SMALL);
    await pipe.close();
    const baked = await AnimateDiff.load({
      base: at('baked.pt'),
      device: 'cpu',
      dtype: 'float32',
      threads: 1,
    });
    assert.deepEqual((await baked.generate(SMALL)).data, expected.data);
    assert.deepEqual(baked.info.motion, { version: 'v2', maxFrames: 32 });
    assert.equal(baked.info.sources.motionModule, 'motion.ckpt');
    await baked.bake(at('again.pt'));
    await baked.close();
    const again = await AnimateDiff.load({
      base: at('again.pt'),
      device: 'cpu',
      dtype: 'float32',
      threads: 1,
    });
    assert.deepEqual((await again.generate(SMALL)).data, expected.data);
    await again.close();
  });

  it('refuses a motion module beside an archive, a damaged archive, and a folder that is not there', async () => {
    await assert.rejects(loadTiny({ base: at('baked.pt') }), { code: 'ERR_INVALID_ARGUMENT' });
    copyFileSync(at('baked.pt'), at('damaged.pt'));
    truncateSync(at('damaged.pt'), statSync(at('damaged.pt')).size >> 1);
    await assert.rejects(AnimateDiff.load({ base: at('damaged.pt') }), { code: 'ERR_FILE_CORRUPT' });
    writeFileSync(at('empty.pt'), '');
    await assert.rejects(AnimateDiff.load({ base: at('empty.pt') }), { code: 'ERR_FILE_CORRUPT' });
    const pipe = await loadTiny();
    await assert.rejects(pipe.bake(at('no/such/folder/x.pt')), { code: 'ERR_OUTPUT' });
    symlinkSync('/dev/full', at(`full.pt.${process.pid}.partial`));
    await assert.rejects(pipe.bake(at('full.pt')), { code: 'ERR_OUTPUT', message: /No space left/ });
    assert.equal(existsSync(at('full.pt')), false);
    assert.equal((await pipe.generate(SMALL)).frameCount, 4);
    await pipe.close();
  });
});
