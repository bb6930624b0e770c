/** Which clips a run makes and where they go. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  checkSavable,
  clipName,
  createRunFolder,
  planDestination,
  removeIfEmpty,
  timestamp,
} from '../../lib/cli/destination.ts';
import { planJobs } from '../../lib/cli/jobs.ts';

describe('the clips of a run', () => {
  it('pair entry i of prompts, negative prompts and seeds', () => {
    assert.deepEqual(planJobs({ prompt: ['a', 'b'], negativePrompt: ['x', ''], seed: ['7', 8n] }), [
      { prompt: 'a', negativePrompt: 'x', seed: '7' },
      { prompt: 'b', negativePrompt: '', seed: 8n },
    ]);
  });

  it('use a single entry for all, on any side', () => {
    assert.deepEqual(planJobs({ prompt: ['a', 'b'], negativePrompt: 'x', seed: 1 }), [
      { prompt: 'a', negativePrompt: 'x', seed: 1 },
      { prompt: 'b', negativePrompt: 'x', seed: 1 },
    ]);
    const seeds = planJobs({ prompt: 'a', seed: [1, 2, 3] });
    assert.deepEqual(
      seeds.map(({ prompt, seed }) => [prompt, seed]),
      [
        ['a', 1],
        ['a', 2],
        ['a', 3],
      ],
    );
  });

  it('have no negative prompt and a drawn seed by default', () => {
    assert.deepEqual(planJobs({ prompt: 'a' }), [{ prompt: 'a', negativePrompt: '', seed: -1 }]);
  });

  it('cannot be paired from lists of different lengths', () => {
    assert.throws(() => planJobs({ prompt: ['a', 'b', 'c'], negativePrompt: ['x', 'y'], seed: 1 }), {
      code: 'ERR_INVALID_ARGUMENT',
      message: /Got 3 prompts, 2 negative prompts and 1 seed, which cannot be paired.* or 3\./,
    });
  });
});

describe('the destination of a run', () => {
  const model = { base: '/models/sd15.safetensors' };
  const cwd = path.resolve('/home/me');

  it('is samples/ with the name of the configuration, else of the checkpoint, else of the base', () => {
    const folder = path.join(cwd, 'samples');
    assert.deepEqual(planDestination(model, 4, cwd, 'configs/toonyou.yaml'), {
      kind: 'folder',
      folder,
      name: 'toonyou',
    });
    const names = [
      planDestination({ ...model, checkpoint: '/m/lyriel_v1.6.ckpt' }, 4, cwd),
      planDestination(model, 4, cwd),
      planDestination({ base: 'hf:runwayml/stable-diffusion-v1.5' }, 4, cwd),
      planDestination({ base: '/models/stable-diffusion-v1.5/' }, 4, cwd),
    ].map((destination) => destination.kind === 'folder' && destination.name);
    assert.deepEqual(names, ['lyriel_v1.6', 'sd15', 'stable-diffusion-v1.5', 'stable-diffusion-v1.5']);
  });

  it('is exactly the file that is named, in any case of letters', () => {
    for (const file of ['/o/cat.gif', '/o/cat.WEBP', '/o/cat.apng', '/o/cat.png']) {
      assert.deepEqual(planDestination({ ...model, out: file }, 1, cwd), { kind: 'file', file });
    }
  });

  it('is a folder for other endings and for a separator at the end', () => {
    for (const out of ['/o/v1.5', '/o/cat.gif/', '/o/samples']) {
      assert.equal(planDestination({ ...model, out }, 3, cwd).kind, 'folder');
    }
  });

  const refused: readonly (readonly [string, object, number, RegExp])[] = [
    [
      'a video format',
      { out: '/o/cat.mp4' },
      1,
      /\.gif, \.webp, \.apng or \.png for `out`, got '\/o\/cat\.mp4'/,
    ],
    [
      'a format that contradicts the name',
      { out: '/o/cat.gif', format: 'webp' },
      1,
      /ends in \.webp, as `format` says/,
    ],
    ['one file for several clips', { out: '/o/cat.gif' }, 2, /2 clips cannot be written to one file/],
  ];
  for (const [name, config, clips, message] of refused) {
    it(`is refused for ${name}`, () => {
      assert.throws(() => planDestination({ ...model, ...config }, clips, cwd), {
        code: 'ERR_INVALID_ARGUMENT',
        message,
      });
    });
  }

  it('is refused before sampling for what could not be saved after it', () => {
    const png = { kind: 'file', file: '/o/cat.png' } as const;
    const folder = { kind: 'folder', folder: '/o', name: 'x' } as const;
    assert.throws(() => checkSavable(png, {}, 16), { code: 'ERR_INVALID_ARGUMENT', message: /16 frames/ });
    assert.throws(() => checkSavable(folder, { fps: 60 }, 16), {
      code: 'ERR_INVALID_ARGUMENT',
      message: /at most 50/,
    });
    checkSavable(png, {}, 1);
    checkSavable(folder, { fps: 60, format: 'webp' }, 16);
    checkSavable(folder, { fps: 60 }, 1);
  });

  it('names clips by their format', () => {
    const names = [
      clipName('0-a', undefined, 16),
      clipName('0-a', undefined, 1),
      clipName('0-a', 'webp', 1),
      clipName('0-a', 'png', 1),
      clipName('0-a', 'png', 16),
    ];
    assert.deepEqual(names, ['0-a.gif', '0-a.png', '0-a.webp', '0-a.png', '0-a/']);
  });
});

describe('the folder of a run', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'animatediff-run-'));
  });
  after(() => rm(folder, { recursive: true }));
  const date = new Date(2026, 0, 31, 9, 5, 7);

  it('has the local time in its name', () => assert.equal(timestamp(date), '2026-01-31T09-05-07'));

  it('is never one that exists', async () => {
    const parent = path.join(folder, 'deep', 'samples');
    const made = [];
    for (let i = 0; i < 3; i++) made.push(path.basename(await createRunFolder(parent, 'cat', date)));
    assert.deepEqual(made, [
      'cat-2026-01-31T09-05-07',
      'cat-2026-01-31T09-05-07-2',
      'cat-2026-01-31T09-05-07-3',
    ]);
  });

  it('is told as an output error where it cannot be made', async () => {
    const file = path.join(folder, 'file');
    await writeFile(file, '');
    await assert.rejects(createRunFolder(file, 'cat', date), { code: 'ERR_OUTPUT', message: /--out/ });
  });

  it('goes away when nothing was written into it, and stays otherwise', async () => {
    const parent = path.join(folder, 'runs');
    const empty = await createRunFolder(parent, 'empty', date);
    const full = await createRunFolder(parent, 'full', date);
    await writeFile(path.join(full, 'x'), '');
    await removeIfEmpty(empty);
    await removeIfEmpty(full);
    assert.deepEqual(await readdir(parent), [path.basename(full)]);
  });
});
