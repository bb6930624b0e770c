/** `generate`: flags and configuration become clips, files and reports. The model is a fake one. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/load.ts';
import { DRAWN_SEED, type FakeModelOptions, fakeModel, runCli } from './fakes.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'animatediff-generate-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function generate(argv: readonly string[], options: FakeModelOptions = {}, overrides = {}) {
  const { model, load } = fakeModel(options);
  const result = await runCli(['generate', ...argv], { load }, { folder, ...overrides });
  return { ...result, model };
}

async function configFile(text: string): Promise<string> {
  const file = path.join(folder, 'toonyou.yaml');
  await writeFile(file, text);
  return file;
}

const MODEL = ['--base', 'sd15.safetensors', '--motion-module', 'mm.ckpt'];
const RUN = 'samples/toonyou-2026-01-31T09-05-07';

describe('generate with flags', () => {
  it('hands every flag to the option of its name', async () => {
    const { model, code } = await generate([
      ...['--base', 'sd15.safetensors', '--checkpoint', 'toonyou.safetensors', '--motion-module', 'mm.ckpt'],
      ...['--motion-version', 'v3', '--device', 'cuda:1', '--dtype', 'bfloat16', '--compat', 'diffusers'],
      ...[
        '--threads',
        '3',
        '--libtorch',
        'lt',
        '-p',
        'a cat',
        '-n',
        'blurry',
        '--seed',
        '10788741199826055526',
      ],
      ...['--frames', '2', '--width', '16', '--height', '24', '--steps', '7', '--guidance-scale', '9.5'],
      ...['--scheduler', 'ddim', '--eta', '.5', '--timestep-spacing', 'trailing', '-o', 'cat.gif'],
    ]);
    assert.equal(code, 0);
    const { signal: _, onProgress: __, onNotice: ___, ...load } = model.loads[0] ?? {};
    assert.deepEqual(load, {
      base: path.join(folder, 'sd15.safetensors'),
      checkpoint: path.join(folder, 'toonyou.safetensors'),
      motionModule: { path: path.join(folder, 'mm.ckpt'), version: 'v3' },
      device: 'cuda:1',
      dtype: 'bfloat16',
      compat: 'diffusers',
      threads: 3,
      libtorch: path.join(folder, 'lt'),
    });
    const { signal: ____, onProgress: _____, ...request } = model.requests[0] ?? {};
    assert.deepEqual(request, {
      prompt: 'a cat',
      negativePrompt: 'blurry',
      seed: '10788741199826055526',
      frames: 2,
      width: 16,
      height: 24,
      steps: 7,
      guidanceScale: 9.5,
      scheduler: { name: 'ddim', eta: 0.5, timestepSpacing: 'trailing' },
    });
  });

  it('passes on the flags of other schedulers and of the motion module', async () => {
    const { code, model } = await generate([
      ...['--base', 'sd15.safetensors', '--motion-module', 'mm.ckpt', '--motion-version', 'lightning'],
      ...['--motion-steps', '8', '--motion-scale', '.75', '-p', 'a cat'],
      ...['--scheduler', 'dpm++_2m', '--karras-sigmas'],
    ]);
    assert.equal(code, 0);
    assert.deepEqual(model.loads[0]?.motionModule, {
      path: path.join(folder, 'mm.ckpt'),
      version: 'lightning',
      steps: 8,
      scale: 0.75,
    });
    assert.deepEqual(model.requests[0]?.scheduler, { name: 'dpm++_2m', karrasSigmas: true });
    const lcm = ['--scheduler', 'lcm', '--original-inference-steps', '100'];
    const { model: other } = await generate([...MODEL, '-p', 'a cat', ...lcm]);
    assert.deepEqual(other.requests[0]?.scheduler, { name: 'lcm', originalInferenceSteps: 100 });
  });

  it('refuses a flag that the scheduler does not have, and says which it has', async () => {
    const { code, stderr } = await generate([...MODEL, '-p', 'a cat', '--scheduler', 'euler', '--eta', '1']);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /The scheduler 'euler' has no `--eta`\. It has name, timestepSpacing, .*karrasSigmas/,
    );
  });

  it('writes exactly the file that is named, and prints its path and nothing else on stdout', async () => {
    const { stdout, code } = await generate([...MODEL, '-p', 'a cat', '-o', 'out/cat.gif']);
    assert.deepEqual([code, stdout], [0, 'out/cat.gif\n']);
    assert.deepEqual(await readdir(folder), ['out']);
    const bytes = await readFile(path.join(folder, 'out', 'cat.gif'));
    assert.equal(bytes.subarray(0, 6).toString('latin1'), 'GIF89a');
  });

  it('leaves options away that nobody gave', async () => {
    const { model } = await generate([...MODEL, '-p', 'a', '-o', 'a.gif']);
    assert.deepEqual(Object.keys(model.requests[0] ?? {}).sort(), [
      'negativePrompt',
      'onProgress',
      'prompt',
      'seed',
      'signal',
    ]);
  });

  it('takes an empty negative prompt, and prompts that begin with a dash or look like numbers', async () => {
    const { model } = await generate([...MODEL, '--prompt=-1girl-', '-p', '007', '-n', '']);
    assert.deepEqual(
      model.requests.map(({ prompt, negativePrompt }) => [prompt, negativePrompt]),
      [
        ['-1girl-', ''],
        ['007', ''],
      ],
    );
  });
});

describe('generate with several prompts', () => {
  const argv = [
    ...MODEL,
    '-p',
    'a cat, in the rain',
    '-p',
    'a dog/wolf',
    '-n',
    'blurry',
    '--seed',
    '5',
    '--seed',
    '-1',
  ];

  it('lays files out as mmagic’s script does and prints each path', async () => {
    const file = await configFile('');
    const { stdout, code } = await generate([file, ...argv]);
    assert.equal(code, 0);
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      `${RUN}/sample/0-a-cat-in-the-rain.gif`,
      `${RUN}/sample/1-a-dog-wolf.gif`,
      `${RUN}/sample.gif`,
      `${RUN}/config.yaml`,
    ]);
    for (const line of stdout.trimEnd().split('\n'))
      assert.ok((await stat(path.join(folder, line))).size > 0, line);
  });

  it('makes clips one after the other with their own negative prompt and seed', async () => {
    const { model } = await generate(argv);
    assert.deepEqual(
      model.requests.map(({ prompt, negativePrompt, seed }) => [prompt, negativePrompt, seed]),
      [
        ['a cat, in the rain', 'blurry', '5'],
        ['a dog/wolf', 'blurry', '-1'],
      ],
    );
  });

  it('writes the configuration that was used, with the seeds that were drawn, so that it runs again', async () => {
    const file = await configFile(
      'base: ../sd15.ckpt\nscheduler: {name: ddim, eta: 0.25}\nfps: 12\nout: elsewhere\n',
    );
    const { stdout } = await generate([file, ...argv, '--out', 'here']);
    const written = stdout.trimEnd().split('\n').at(-1) ?? '';
    const text = await readFile(path.join(folder, written), 'utf8');
    assert.match(text, /^# Written by animatediff-native/);
    assert.deepEqual(await loadConfig(path.join(folder, written)), {
      base: path.join(folder, 'sd15.safetensors'),
      motionModule: path.join(folder, 'mm.ckpt'),
      dtype: 'float32',
      compat: 'original',
      prompt: ['a cat, in the rain', 'a dog/wolf'],
      negativePrompt: ['blurry', 'blurry'],
      seed: [5, DRAWN_SEED],
      frames: 2,
      width: 8,
      height: 8,
      steps: 25,
      guidanceScale: 7.5,
      scheduler: { name: 'ddim', eta: 0.25 },
      fps: 12,
    });
    const again = await generate([written, '--no-grid']);
    assert.deepEqual(
      again.model.requests.map(({ seed }) => seed),
      [5, DRAWN_SEED],
    );
  });

  it('puts four clips into a row of the grid, or as many as --columns says', async () => {
    const size = async (columns: readonly string[]) => {
      const { stdout } = await generate([
        ...MODEL,
        ...'abcde'.split('').flatMap((p) => ['-p', p]),
        ...columns,
      ]);
      const grid = stdout.split('\n').find((line) => line.endsWith('/sample.gif')) ?? '';
      const bytes = await readFile(path.join(folder, grid));
      return [bytes.readUInt16LE(6), bytes.readUInt16LE(8)];
    };
    assert.deepEqual(await size([]), [4 * 10 + 2, 2 * 10 + 2]);
    assert.deepEqual(await size(['--columns', '2']), [2 * 10 + 2, 3 * 10 + 2]);
  });

  it('writes no grid with --no-grid', async () => {
    const { stdout } = await generate([...argv, '--no-grid']);
    assert.equal(stdout.split('\n').filter((line) => line.endsWith('/sample.gif')).length, 0);
  });

  it('writes frames into folders with --format png, and the grid beside them', async () => {
    const file = await configFile('format: png');
    const { stdout } = await generate([file, ...argv]);
    const base = path.join(folder, RUN);
    assert.deepEqual((await readdir(base)).sort(), ['config.yaml', 'sample', 'sample-grid']);
    assert.deepEqual(await readdir(path.join(base, 'sample', '1-a-dog-wolf')), ['0000.png', '0001.png']);
    assert.equal(stdout.trimEnd().split('\n').length, 4);
  });

  it('writes single images as PNG where no motion module is loaded', async () => {
    const { stdout } = await generate(['--base', 'sd15.ckpt', '-p', 'a'], { motion: false });
    assert.match(stdout, /sample\/0-a\.png\n.*sample\.png\n/);
  });
});

describe('generate with a configuration', () => {
  const TEXT =
    'base: sd15.ckpt\nmotionModule: {path: mm.ckpt, version: v1}\nprompt: [x, y]\nseed: [1, 2]\nsteps: 9\nscheduler: {name: ddim, eta: 1}\n';

  it('uses it alone', async () => {
    const { model } = await generate([await configFile(TEXT)]);
    assert.deepEqual(model.loads[0]?.motionModule, { path: path.join(folder, 'mm.ckpt'), version: 'v1' });
    assert.deepEqual(
      model.requests.map(({ prompt, seed, steps }) => [prompt, seed, steps]),
      [
        ['x', 1, 9],
        ['y', 2, 9],
      ],
    );
  });

  it('lets flags win key by key', async () => {
    const file = await configFile(TEXT);
    const { model } = await generate([
      file,
      '--steps',
      '3',
      '--timestep-spacing',
      'linspace',
      '--motion-version',
      'v3',
    ]);
    assert.equal(model.requests[0]?.steps, 3);
    assert.deepEqual(model.requests[0]?.scheduler, { name: 'ddim', eta: 1, timestepSpacing: 'linspace' });
    assert.deepEqual(model.loads[0]?.motionModule, { path: path.join(folder, 'mm.ckpt'), version: 'v3' });
    assert.deepEqual(
      model.requests.map(({ prompt }) => prompt),
      ['x', 'y'],
    );
  });

  it('forgets the version of another motion module, and the options of another scheduler', async () => {
    const { model } = await generate([
      await configFile(TEXT),
      '--motion-module',
      'other.ckpt',
      '--scheduler',
      'ddim',
    ]);
    assert.equal(model.loads[0]?.motionModule, path.join(folder, 'other.ckpt'));
    assert.equal(model.requests[0]?.scheduler, 'ddim');
  });

  it('refuses lists that a flag left without partners', async () => {
    const { code, stderr, model } = await generate([await configFile(TEXT), '-p', 'a', '-p', 'b', '-p', 'c']);
    assert.equal(code, 2);
    assert.match(stderr, /Got 3 prompts, 1 negative prompt and 2 seeds/);
    assert.equal(model.loads.length, 0);
  });

  it('names the line of a mistake as the file was named', async () => {
    await configFile('base: x\nn_prompt: y\n');
    const { code, stderr } = await generate(['toonyou.yaml']);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^error: toonyou\.yaml:2:1: Unknown key `n_prompt`\. Did you mean `negativePrompt`\?\ncode: ERR_CONFIG\n$/,
    );
  });
});

const WRONG: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['no prompt', MODEL, /which prompt to use\. Give `--prompt`, or `prompt:` in a configuration/],
  ['no base', ['-p', 'a'], /which base to use/],
  [
    'text for a number',
    [...MODEL, '-p', 'a', '--frames', 'many'],
    /from 1 to 100000 for `--frames`, got 'many'/,
  ],
  ['nothing for a number', [...MODEL, '-p', 'a', '--frames='], /for `--frames`, got ''/],
  ['hexadecimal for a number', [...MODEL, '-p', 'a', '--steps', '0x10'], /for `--steps`, got '0x10'/],
  [
    'a flag that is given twice',
    [...MODEL, '-p', 'a', '--steps', '1', '--steps', '2'],
    /`--steps` was given 2 times/,
  ],
  [
    'a bad seed among good ones',
    [...MODEL, '-p', 'a', '--seed', '1', '--seed', '1.5'],
    /for `--seed`, got '1\.5'/,
  ],
  ['an inner option', [...MODEL, '-p', 'a', '--eta', '2'], /a number from 0 to 1 for `--eta`, got 2/],
  [
    'a device',
    [...MODEL, '-p', 'a', '--device', 'gpu'],
    /cuda:N for `--device`, got 'gpu'\. Did you mean `cuda`/,
  ],
  [
    'a choice',
    [...MODEL, '-p', 'a', '--dtype', 'fp16'],
    /for `--dtype`, got 'fp16'\. Did you mean `float16`/,
  ],
  [
    'a version without a module',
    ['--base', 'b', '-p', 'a', '--motion-version', 'v2'],
    /Missing `--motion-module`/,
  ],
  [
    'an empty path',
    ['--base', '', '-p', 'a'],
    /the path of a file or folder, or a source for `--base`, got ''/,
  ],
  ['an empty LibTorch', [...MODEL, '-p', 'a', '--libtorch', ''], /for `--libtorch`, got ''/],
  ['a video file', [...MODEL, '-p', 'a', '-o', 'a.mp4'], /ends in \.gif, \.webp, \.apng or \.png/],
  [
    'one file for two clips',
    [...MODEL, '-p', 'a', '-p', 'b', '-o', 'a.gif'],
    /2 clips cannot be written to one file/,
  ],
  ['a frame rate that GIF lacks', [...MODEL, '-p', 'a', '--fps', '60'], /at most 50 for GIF/],
  ['a PNG file for an animation', [...MODEL, '-p', 'a', '-o', 'a.png'], /16 frames/],
];

describe('generate with a wrong command line', () => {
  for (const [name, argv, message] of WRONG) {
    it(`makes nothing, says why and exits with 2: ${name}`, async () => {
      const { code, stderr, stdout, model } = await generate(argv);
      assert.match(stderr, message);
      assert.match(stderr, /^code: ERR_INVALID_ARGUMENT$/m);
      assert.deepEqual([code, stdout, model.requests.length], [2, '', 0]);
      assert.deepEqual(await readdir(folder), []);
    });
  }

  it('tells every wrong flag at once', async () => {
    const { stderr } = await generate([...MODEL, '-p', 'a', '--width', '9', '--steps', '0', '--loop', '-1']);
    for (const flag of ['--width', '--steps', '--loop']) assert.ok(stderr.includes(flag), flag);
  });
});

describe('generate with --json', () => {
  it('prints one document with files, parameters, model and notices', async () => {
    const notice = { code: 'kept-vae', message: 'The VAE of the base is kept.' };
    const argv = [...MODEL, '-p', 'a', '-p', 'b', '--json'];
    const { stdout, stderr } = await generate(argv, { notices: [notice, notice] });
    const document = JSON.parse(stdout);
    assert.equal(document.clips.length, 2);
    for (const { path: file, bytes } of [...document.clips, document.grid])
      assert.equal((await stat(file)).size, bytes);
    assert.equal(document.clips[1].parameters.seed, String(DRAWN_SEED));
    assert.deepEqual(document.pipeline, {
      device: 'cpu',
      dtype: 'float32',
      compat: 'original',
      motion: { maxFrames: 32 },
    });
    assert.deepEqual(document.notices, [notice]);
    assert.deepEqual(document.memory, {
      ...{ weights: 2.8e9, hostPeak: 3.9e9, devicePeak: 0 },
      ...{ hostHeld: 2.8e9, deviceHeld: 0 },
    });
    assert.ok(document.config.endsWith('config.yaml'));
    assert.equal(stderr.match(/note: The VAE of the base is kept\./g)?.length, 1);
  });

  it('prints one document for an error too', async () => {
    const { stdout, stderr, code } = await generate([...MODEL, '-p', 'a', '--width', '9', '--json']);
    const { error } = JSON.parse(stdout);
    assert.equal(code, 2);
    assert.equal(error.code, 'ERR_INVALID_ARGUMENT');
    assert.deepEqual(error.details, {
      option: '--width',
      expected: 'pixels, a multiple of 8 from 8 to 4096',
      value: '9',
    });
    assert.ok(stderr.includes(error.message));
  });
});

describe('generate while it runs', () => {
  it('reports progress on stderr, with the number of the clip', async () => {
    const { stderr } = await generate([...MODEL, '-p', 'a', '-p', 'b']);
    assert.match(stderr, /^load weights {2}500 MB of 1\.0 GB$/m);
    assert.match(stderr, /^1\/2 sample {2}25\/25$/m);
    assert.match(stderr, /^2\/2 sample {2}25\/25$/m);
    assert.match(stderr, /^note: 2 clips in 0:00\. /m);
  });

  it('draws over one line on a terminal, and leaves none of it behind', async () => {
    const { stderr } = await generate([...MODEL, '-p', 'a'], {}, { terminal: true });
    assert.match(stderr, /\rsample {2}\[=+\] {2}25\/25/);
    assert.match(stderr, /\r +\rnote: 1 clip in 0:00\. [^\r\n]+\n$/);
  });

  it('tells in the end what it took of the memory', async () => {
    const onCpu = await generate([...MODEL, '-p', 'a']);
    assert.match(onCpu.stderr, /Weights 2\.8 GB; at most 3\.9 GB on the host\.\n$/);
    const onDevice = await generate([...MODEL, '-p', 'a'], { devicePeak: 6.1e9 });
    assert.match(onDevice.stderr, /Weights 2\.8 GB; at most 3\.9 GB on the host, 6\.1 GB on the device\.\n$/);
  });

  it('says nothing on stderr with --quiet', async () => {
    const { stderr, stdout } = await generate([...MODEL, '-p', 'a', '-q'], {
      notices: [{ code: 'x', message: 'y' }],
    });
    assert.equal(stderr, '');
    assert.notEqual(stdout, '');
  });

  it('closes the model after success, failure and interruption', async () => {
    assert.equal((await generate([...MODEL, '-p', 'a'])).model.closed, 1);
    const failing = { during: () => Promise.reject(new Error('the disk is on fire')) };
    const { model, code, stderr } = await generate([...MODEL, '-p', 'a'], failing);
    assert.deepEqual([model.closed, code], [1, 1]);
    assert.match(stderr, /^error: the disk is on fire\ncode: ERR_UNEXPECTED\n.*--verbose/m);
  });

  it('keeps finished clips and no empty folder when a later one fails', async () => {
    const failing = { during: (index: number) => (index === 1 ? Promise.reject(new Error('x')) : undefined) };
    const file = await configFile('');
    const { stdout } = await generate([file, ...MODEL, '-p', 'a', '-p', 'b'], failing);
    assert.equal(stdout, `${RUN}/sample/0-a.gif\n`);
    const never = { during: () => Promise.reject(new Error('x')) };
    await generate([...MODEL, '-p', 'a', '-o', 'empty'], never);
    assert.deepEqual(await readdir(path.join(folder, 'empty')), []);
  });

  it('prints the stacks of an error and its cause with --verbose', async () => {
    const failing = { during: () => Promise.reject(new Error('outer', { cause: new RangeError('inner') })) };
    const { stderr } = await generate([...MODEL, '-p', 'a', '--verbose'], failing);
    assert.match(stderr, /Error: outer\n {4}at /);
    assert.match(stderr, /caused by: RangeError: inner\n {4}at /);
  });
});
