/** Broken diffusers folders: indexes and configs that are cut, lie, or are no files at all. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { refuses } from './support/contract.ts';
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
const INDEX = 'diffusion_pytorch_model.safetensors.index.json';

describe('a broken diffusers folder', () => {
  it('is refused when the index of its shards is cut off at any byte', async () => {
    writeHeaderOnly(at('shard.safetensors'), new Map([['a', [2]]]));
    const text = JSON.stringify({ weight_map: { a: 'shard.safetensors' } });
    for (let length = 0; length < text.length; length++) {
      writeBytes(at(INDEX), text.slice(0, length));
      await refuses(
        folder,
        'ERR_FILE_CORRUPT',
        /index\.json is damaged: it is not JSON/,
        `cut at ${length}:`,
      );
    }
  });

  it('is refused when its index names what is no file', async () => {
    for (const name of [
      '{"toString":1,"valueOf":1}',
      '{"__proto__":null}',
      '"\\u0000"',
      '"a\\u0000.safetensors"',
      '[[]]',
    ]) {
      writeBytes(at(INDEX), `{"weight_map":{"a":${name}}}`);
      await refuses(folder, 'ERR_FILE_CORRUPT', /names .*no file beside it/, name);
    }
  });

  it('is refused for a tensor that only the prototype has', async () => {
    writeHeaderOnly(at('shard.safetensors'), new Map([['a', [2]]]));
    writeBytes(at(INDEX), '{"weight_map":{"__proto__":"shard.safetensors"}}');
    await refuses(folder, 'ERR_FILE_CORRUPT', /lacks tensor '__proto__'/);
  });

  it('is refused for JSON that is nested without end', async () => {
    writeBytes(at(INDEX), `{"weight_map":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`);
    await refuses(folder, 'ERR_FILE_CORRUPT', /no weight_map/);
  });

  it('is refused, without waiting, when a config is a pipe or a device', async () => {
    writeHeaderOnly(at('diffusion_pytorch_model.safetensors'), new Map([['a', [2]]]));
    execFileSync('mkfifo', [at('config.json')]);
    await refuses(folder, 'ERR_FILE_FORMAT', /config\.json is not a regular file/);
    writeHeaderOnly(at('second', 'diffusion_pytorch_model.safetensors'), new Map([['a', [2]]]));
    symlinkSync('/dev/zero', at('second', 'config.json'));
    await refuses(at('second'), 'ERR_FILE_FORMAT', /config\.json is not a regular file/);
  });
});
