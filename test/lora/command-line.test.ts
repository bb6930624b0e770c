/** Adapters in flags, in configurations and in the metadata of clips. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseConfig } from '../../lib/config/load.ts';
import type { ClipParameters } from '../../lib/options.ts';
import { readableText } from '../../lib/output/metadata.ts';
import { fakeModel, runCli } from '../cli/fakes.ts';
import { LORA_CONFIG } from './support/config.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lora-cli-'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function lorasOf(argv: readonly string[]) {
  const { model, load } = fakeModel();
  const result = await runCli(['generate', ...argv, '-p', 'a', '--seed', '1'], { load }, { folder });
  return { ...result, loras: model.loads[0]?.loras };
}

describe('--lora', () => {
  it('takes files with and without a scale, in the order in which they are given', async () => {
    const argv = [
      '--base',
      'b',
      '--lora',
      'a.ckpt',
      '--lora',
      'styles/b:1.safetensors:-0.5',
      '--lora',
      'c:.7',
    ];
    const { code, stderr, loras } = await lorasOf(argv);
    assert.equal(code, 0, stderr);
    assert.deepEqual(loras, [
      { path: path.join(folder, 'a.ckpt') },
      { path: path.join(folder, 'styles/b:1.safetensors'), scale: -0.5 },
      { path: path.join(folder, 'c'), scale: 0.7 },
    ]);
  });

  it('wins over the list of a configuration, whose paths belong to its own folder', async () => {
    const file = path.join(folder, 'config.yaml');
    await writeFile(file, LORA_CONFIG);
    assert.deepEqual((await lorasOf([file])).loras, [
      path.join(folder, 'plain.safetensors'),
      { path: path.join(folder, 'zoom.ckpt'), scale: -0.8 },
      { path: '/styles/tusun.safetensors', scale: 0.6, ignoreAlpha: true },
    ]);
    assert.deepEqual((await lorasOf([file, '--lora', 'x:2'])).loras, [
      { path: path.join(folder, 'x'), scale: 2 },
    ]);
  });

  it('refuses an empty path and an infinite scale', async () => {
    for (const [value, sentence] of [
      ['', /the path of a file or folder, or a source for `--lora`, got ''/],
      ['x:1e999', /a finite number for `--lora`, got Infinity/],
    ] as const) {
      const { code, stderr } = await lorasOf(['--base', 'b', '--lora', value]);
      assert.notEqual(code, 0);
      assert.match(stderr, sentence);
    }
  });
});

describe('loras in a configuration', () => {
  for (const [text, sentence] of [
    ['loras: a.ckpt', /Expected a list of paths or of mappings with path and scale for `loras`/],
    ['loras: [{path: a, weight: 1}]', /Unknown key `loras\[0\]\.weight`/],
    ['loras: [{scale: 1}]', /Missing key `loras\[0\]\.path`/],
    ['loras: [{path: a, scale: .inf}]', /Expected a finite number for `loras\[0\]\.scale`/],
    ['lora: [a]', /Did you mean `loras`/],
  ] as const) {
    it(`refuses ${text}`, () => {
      assert.throws(() => parseConfig(text, 'c.yaml'), { code: 'ERR_CONFIG', message: sentence });
    });
  }
});

describe('the text of a clip', () => {
  it('names the adapters with their scales', () => {
    const parameters = {
      prompt: 'a',
      negativePrompt: '',
      loras: [
        { file: 'TUSUN.safetensors', scale: 0.6 },
        { file: 'zoom.ckpt', scale: -1 },
      ],
    } as unknown as ClipParameters;
    assert.match(readableText(parameters), /LoRAs: "TUSUN 0\.6, zoom -1"/);
  });
});
