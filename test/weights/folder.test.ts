/** Diffusers folders: which file of several is taken, shards, and what is refused. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { readFolder } from '../../lib/weights/folder.ts';
import { rejects } from './support/errors.ts';
import { temporaryFolder, writeBytes, writeHeaderOnly } from './support/files.ts';

const root = temporaryFolder();
let folder = root;
let count = 0;

beforeEach(() => {
  count += 1;
  folder = path.join(root, String(count));
  mkdirSync(folder);
});

const at = (...names: string[]) => path.join(folder, ...names);
const json = (file: string, value: unknown) => writeBytes(file, JSON.stringify(value));
const one = (name: string) => new Map([[name, [2]]]);

describe('readFolder', () => {
  it('reads the networks of a pipeline under their component names, with configs', async () => {
    json(at('model_index.json'), { _class_name: 'StableDiffusionPipeline' });
    json(at('scheduler', 'scheduler_config.json'), { prediction_type: 'epsilon' });
    json(at('unet', 'config.json'), { _class_name: 'UNet2DConditionModel' });
    writeHeaderOnly(at('unet', 'diffusion_pytorch_model.safetensors'), one('conv_in.bias'));
    writeHeaderOnly(at('vae', 'diffusion_pytorch_model.safetensors'), one('encoder.conv_in.bias'));
    writeHeaderOnly(at('text_encoder', 'model.safetensors'), one('text_model.x'));
    writeHeaderOnly(at('safety_checker', 'model.safetensors'), one('x'));
    const { file, configs, index, scheduler } = await readFolder(folder);
    assert.deepEqual(
      [...file.tensors.keys()],
      ['unet.conv_in.bias', 'vae.encoder.conv_in.bias', 'text_encoder.text_model.x'],
    );
    assert.deepEqual(Object.keys(configs), ['unet']);
    assert.equal(index?._class_name, 'StableDiffusionPipeline');
    assert.equal(scheduler?.prediction_type, 'epsilon');
  });

  it('prefers safetensors to bin, and full precision to fp16', async () => {
    const names = [
      'diffusion_pytorch_model.fp16.safetensors',
      'diffusion_pytorch_model.safetensors',
      'diffusion_pytorch_model.non_ema.safetensors',
    ];
    for (const name of names) writeHeaderOnly(at(name), one(name));
    writeBytes(at('diffusion_pytorch_model.bin'), 'not even a checkpoint');
    assert.deepEqual(
      [...(await readFolder(folder)).file.tensors.keys()],
      ['diffusion_pytorch_model.safetensors'],
    );
  });

  it('takes fp16 when there is nothing else', async () => {
    writeHeaderOnly(at('unet', 'diffusion_pytorch_model.fp16.safetensors'), one('w'));
    assert.deepEqual([...(await readFolder(folder)).file.tensors.keys()], ['unet.w']);
  });

  it('joins shards as the index says', async () => {
    writeHeaderOnly(
      at('model-00001-of-00002.safetensors'),
      new Map([
        ['a', [2]],
        ['stale', [3]],
      ]),
    );
    writeHeaderOnly(at('model-00002-of-00002.safetensors'), one('b'));
    json(at('model.safetensors.index.json'), {
      weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
    });
    const { file } = await readFolder(folder);
    assert.deepEqual([...file.tensors.keys()], ['a', 'b']);
    assert.equal(file.tensors.get('b')?.file, at('model-00002-of-00002.safetensors'));
  });

  it('names a shard that is missing', async () => {
    json(at('model.safetensors.index.json'), { weight_map: { a: 'model-00001-of-00002.safetensors' } });
    await rejects(
      readFolder(folder),
      'ERR_FILE_NOT_FOUND',
      /shard .*model-00001-of-00002\.safetensors is missing/,
    );
  });

  it('names a tensor that is not in its shard', async () => {
    writeHeaderOnly(at('shard.safetensors'), one('a'));
    json(at('model.safetensors.index.json'), { weight_map: { b: 'shard.safetensors' } });
    await rejects(readFolder(folder), 'ERR_FILE_CORRUPT', /lacks tensor 'b'/);
  });

  it('never follows an index out of the folder', async () => {
    writeHeaderOnly(path.join(root, 'outside.safetensors'), one('a'));
    const escapes = [
      '../outside.safetensors',
      path.join(root, 'outside.safetensors'),
      '..',
      '',
      '..\\outside',
      'a/b',
      7,
      null,
    ];
    for (const name of escapes) {
      json(at('model.safetensors.index.json'), { weight_map: { a: name } });
      await rejects(readFolder(folder), 'ERR_FILE_CORRUPT', /which is no file beside it/, String(name));
    }
  });

  it('refuses a damaged index', async () => {
    for (const [content, message] of [
      ['{', /is not JSON/],
      ['[]', /not a JSON object/],
      ['{}', /no weight_map/],
      ['{"weight_map":{}}', /weight_map is empty/],
    ] as const) {
      writeBytes(at('model.safetensors.index.json'), content);
      await rejects(readFolder(folder), 'ERR_FILE_CORRUPT', message);
    }
  });

  it('points to the single file when a folder of models is given', async () => {
    writeHeaderOnly(at('toonyou.safetensors'), one('w'));
    await rejects(readFolder(folder), 'ERR_FILE_FORMAT', /without diffusers weights.*toonyou\.safetensors/);
    await rejects(readFolder(at('none')), 'ERR_FILE_NOT_FOUND', /does not exist/);
  });

  it('leaves out the motion adapter that a UNetMotionModel already contains', async () => {
    writeHeaderOnly(
      at('unet', 'diffusion_pytorch_model.safetensors'),
      one('down_blocks.0.motion_modules.0.norm.bias'),
    );
    writeHeaderOnly(
      at('motion_adapter', 'diffusion_pytorch_model.safetensors'),
      one('down_blocks.0.motion_modules.0.norm.bias'),
    );
    assert.equal((await readFolder(folder)).file.tensors.size, 1);
  });
});
