/** Configuration files: what is read, and how each kind of mistake is told. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadConfig, parseConfig } from '../../lib/config/load.ts';
import { AnimateDiffError } from '../../lib/errors.ts';

function errorOf(text: string): AnimateDiffError {
  try {
    parseConfig(text, 'toonyou.yaml');
  } catch (error) {
    assert.ok(error instanceof AnimateDiffError, `not a coded error: ${error}`);
    assert.equal(error.code, 'ERR_CONFIG');
    return error;
  }
  assert.fail('the configuration was accepted');
}

describe('a good configuration', () => {
  it('keeps every digit of 64-bit seeds, in decimal, in hexadecimal and as text', () => {
    const text = 'seed: [10788741199826055526, 0xffffffffffffffff, "18446744073709551615", 1007, -1]';
    const expected = [10788741199826055526n, 18446744073709551615n, '18446744073709551615', 1007, -1];
    assert.deepEqual(parseConfig(text, 'c.yaml').seed, expected);
  });

  it('accepts one value or a list for prompt, negativePrompt and seed', () => {
    assert.deepEqual(parseConfig('prompt: a\nnegativePrompt: [b, ""]\nseed: 3', 'c.yaml'), {
      prompt: 'a',
      negativePrompt: ['b', ''],
      seed: 3,
    });
  });

  it('accepts the motion module and the scheduler in short and in long form', () => {
    const text =
      'motionModule: {path: mm.ckpt, version: v3}\nscheduler: {name: ddim, eta: 0.5, setAlphaToOne: false}';
    assert.deepEqual(parseConfig(text, 'c.yaml'), {
      motionModule: { path: 'mm.ckpt', version: 'v3' },
      scheduler: { name: 'ddim', eta: 0.5, setAlphaToOne: false },
    });
    assert.deepEqual(parseConfig('motionModule: mm.ckpt\nscheduler: ddim', 'c.yaml'), {
      motionModule: 'mm.ckpt',
      scheduler: 'ddim',
    });
  });

  it('accepts numbers that YAML writes in other ways', () => {
    assert.deepEqual(parseConfig('steps: 0x19\nguidanceScale: 7\nfps: 1.25e1', 'c.yaml'), {
      steps: 25,
      guidanceScale: 7,
      fps: 12.5,
    });
  });

  it('shares text through an anchor', () => {
    assert.deepEqual(parseConfig('negativePrompt: &bad blurry\nprompt: [*bad, x]', 'c.yaml').prompt, [
      'blurry',
      'x',
    ]);
  });

  it('may be empty', () => {
    assert.deepEqual(parseConfig('# nothing yet\n', 'c.yaml'), {});
  });

  it('names several CUDA devices', () => {
    assert.equal(parseConfig('device: cuda:1', 'c.yaml').device, 'cuda:1');
  });
});

/** Text, the place of the first problem, and words that its message must have. */
const MISTAKES: readonly (readonly [
  name: string,
  text: string,
  line: number,
  column: number,
  words: RegExp,
])[] = [
  ['an unknown key', 'base: a\nfoobar: 1', 2, 1, /Unknown key `foobar`\. Known keys: base, checkpoint/],
  ['a mistyped key', 'base: a\nguidanceSclae: 1', 2, 1, /Did you mean `guidanceScale`\?/],
  ["AnimateDiff's n_prompt", 'n_prompt: x', 1, 1, /Unknown key `n_prompt`\. Did you mean `negativePrompt`\?/],
  ["AnimateDiff's guidance_scale", 'guidance_scale: 8', 1, 1, /Did you mean `guidanceScale`\?/],
  ["AnimateDiff's motion_module", 'motion_module: x', 1, 1, /Did you mean `motionModule`\?/],
  ["AnimateDiff's dreambooth_path", 'dreambooth_path: x', 1, 1, /Did you mean `checkpoint`\?/],
  ["mmagic's video_length", 'video_length: 16', 1, 1, /Did you mean `frames`\?/],
  ["diffusers' num_inference_steps", 'num_inference_steps: 25', 1, 1, /Did you mean `steps`\?/],
  ['a key that objects have anyway', 'constructor: 1', 1, 1, /Unknown key `constructor`/],
  ['__proto__', '__proto__: {base: x}', 1, 1, /Unknown key `__proto__`/],
  [
    'an unknown key of the scheduler',
    'scheduler:\n  name: ddim\n  timestep_spacing: x',
    3,
    3,
    /`timestepSpacing`/,
  ],
  [
    'an option of another scheduler',
    'scheduler:\n  name: euler\n  eta: 1',
    3,
    3,
    /Unknown key `scheduler\.eta`\. Known keys: name, timestepSpacing, stepsOffset, karrasSigmas, /,
  ],
  ['a Lightning module of 3 steps', 'motionModule: {path: m, steps: 3}', 1, 32, /Expected 1, 2, 4 or 8/],
  ['a motion scale in words', 'motionModule: {path: m, scale: much}', 1, 32, /Expected a finite number/],
  [
    'a missing key of the scheduler',
    'scheduler:\n  eta: 1',
    2,
    3,
    /Missing key `scheduler\.name`: expected ddim/,
  ],
  ['an unknown scheduler', 'scheduler: eulr', 1, 12, /Expected ddim, .* for `scheduler`, got eulr\./],
  [
    'an eta out of range',
    'scheduler: {name: ddim, eta: 2}',
    1,
    30,
    /a number from 0 to 1 for `scheduler\.eta`, got 2/,
  ],
  ['a missing path', 'motionModule: {version: v2}', 1, 15, /Missing key `motionModule\.path`/],
  [
    'an unknown motion module version',
    'motionModule: {path: x, version: v4}',
    1,
    34,
    /v1, v2, v3, animatelcm or lightning/,
  ],
  ['text for a number', 'frames: many', 1, 9, /an integer from 1 to 100000 for `frames`, got many/],
  ['a fraction for an integer', 'steps: 2.5', 1, 8, /an integer from 1 to 1000 for `steps`, got 2\.5/],
  ['a number for text', 'prompt:\n  - a\n  - 2', 3, 5, /Expected text .* for `prompt\[1\]`, got 2/],
  ['an empty list', 'prompt: []', 1, 9, /for `prompt`, got an empty list/],
  [
    'a key without a value',
    'base: a\nprompt:\n',
    2,
    8,
    /for `prompt`, got no value\. Write one or remove the key/,
  ],
  ['a mapping for text', 'out: {path: x}', 1, 6, /for `out`, got a mapping/],
  [
    'an empty path',
    'base: ""',
    1,
    7,
    /Expected the path of a file or folder, or a source for `base`, got ""/,
  ],
  [
    'a width that is no multiple of 8',
    'width: 500',
    1,
    8,
    /a multiple of 8 from 8 to 4096 for `width`, got 500/,
  ],
  ['a seed beyond 64 bits', 'seed: 18446744073709551616', 1, 7, /for `seed`, got 18446744073709551616\./],
  ['a seed that lost its digits', 'seed: 1e19', 1, 7, /for `seed`, got 1e19\./],
  ['a seed below -1', 'seed: [1, -2]', 1, 11, /for `seed\[1\]`, got -2/],
  ['a frame rate of nothing', 'fps: 0', 1, 6, /from 0\.1 to 90 for `fps`, got 0/],
  ['not a number', 'guidanceScale: .nan', 1, 16, /for `guidanceScale`, got \.nan/],
  ["torch's name of a dtype", 'dtype: fp16', 1, 8, /Did you mean `float16`\?/],
  ['a mistyped value', 'compat: difusers', 1, 9, /Did you mean `diffusers`\?/],
  ['an unknown device', 'device: tpu', 1, 9, /auto, cpu, cuda or cuda:N for `device`, got tpu/],
  ['a negative device', 'device: cuda:-1', 1, 9, /for `device`, got cuda:-1/],
  ['a format that cannot be written', 'format: mp4', 1, 9, /gif, webp, apng or png for `format`, got mp4/],
  ['a duplicate key', 'base: a\nprompt: x\nbase: b', 3, 1, /Duplicate key `base`\. Remove one/],
  ['an open quote', 'base: a\nprompt: "x', 2, 11, /Not valid YAML/],
  ['an open list', 'prompt: [a\nbase: b', 2, 1, /Not valid YAML/],
  ['a tab', 'scheduler:\n\tname: ddim', 2, 1, /Not valid YAML: .*[Tt]ab/],
  ['an unknown alias', 'prompt: *nobody', 1, 9, /Not valid YAML: .*nobody/],
  ['a tag', 'prompt: !!python/object x', 1, 9, /Not valid YAML: .*tag/],
  ['two documents', 'base: a\n---\nbase: b', 2, 1, /More than one YAML document/],
  ['a list at the top', '- base: a', 1, 1, /a mapping of keys.* at the top of the file, got a list of 1/],
  ['a list inside itself', 'prompt: &a [*a]', 1, 13, /for `prompt\[0\]`, got a list of 1/],
];

describe('a bad configuration', () => {
  for (const [name, text, line, column, words] of MISTAKES) {
    it(`is refused with its place for ${name}`, () => {
      const error = errorOf(text);
      assert.match(error.message, words);
      assert.ok(error.message.startsWith(`toonyou.yaml:${line}:${column}: `), error.message);
      assert.deepEqual(
        [error.details.file, error.details.line, error.details.column],
        ['toonyou.yaml', line, column],
      );
    });
  }

  it('tells every problem at once, in the order of the file', () => {
    const error = errorOf('frames: 0\nn_prompt: x\nprompt: [a, 1]\nwidth: 7');
    const places = error.message.split('\n').map((line) => /^toonyou\.yaml:(\d+):/.exec(line)?.[1]);
    assert.deepEqual(places, ['1', '2', '3', '4']);
    assert.equal(error.details.problems, 4);
  });

  it('tells the first problems of very many, quickly', () => {
    const started = performance.now();
    const error = errorOf(`prompt: [${Array.from({ length: 20_000 }, (_, i) => i).join(', ')}]`);
    const lines = error.message.split('\n');
    assert.deepEqual([lines.length, lines.at(-1), error.details.problems], [11, '… and 19990 more.', 20_000]);
    assert.ok(performance.now() - started < 3000);
  });

  it('is refused quickly when it has very many anchors', () => {
    const started = performance.now();
    const anchors = Array.from({ length: 20_000 }, (_, i) => `&a${i} x, *a${i}`);
    assert.match(errorOf(`prompt: [${anchors.join(', ')}]`).message, /aliases stand for too much/);
    assert.ok(performance.now() - started < 3000);
  });

  it('gives key, value, expectation and suggestion to programs', () => {
    const { details } = errorOf('prompt: x\ndtype: bf16');
    assert.deepEqual(details, {
      file: 'toonyou.yaml',
      line: 2,
      column: 8,
      key: 'dtype',
      value: 'bf16',
      expected: 'auto, float32, bfloat16 or float16',
      suggestion: 'bfloat16',
      problems: 1,
    });
  });

  it('points into the value that an alias stands for', () => {
    assert.match(errorOf('prompt: &p [a, 3]\nnegativePrompt: *p').message, /:1:16: .*`prompt\[1\]`/);
  });

  it('is refused quickly when its aliases multiply', () => {
    const lines = ['prompt: &a [x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 12; i++)
      lines.push(`k${i}: &${'abcdefghijklm'[i]} [${Array(9).fill(`*${'abcdefghijklm'[i - 1]}`)}]`);
    const started = performance.now();
    assert.match(errorOf(lines.join('\n')).message, /aliases stand for too much/);
    assert.ok(performance.now() - started < 2000);
  });

  it('is refused when it is nested without end', () => {
    assert.match(errorOf(`prompt: ${'['.repeat(50_000)}`).message, /Nested too deeply/);
  });
});

describe('a configuration file', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'animatediff-config-'));
    await mkdir(path.join(folder, 'configs'));
  });
  after(() => rm(folder, { recursive: true }));

  const write = async (content: string | Buffer) => {
    const file = path.join(folder, 'configs', 'c.yaml');
    await writeFile(file, content);
    return file;
  };

  it('has paths that belong to its own folder, to the home folder, or to neither', async () => {
    const file = await write(
      'base: ../models/a.safetensors\ncheckpoint: ~/b.ckpt\nvae: ~/v.pt\nmotionModule: {path: mm.ckpt}\nout: ../samples/\n',
    );
    assert.deepEqual(await loadConfig(path.relative(process.cwd(), file)), {
      base: path.join(folder, 'models', 'a.safetensors'),
      checkpoint: path.join(homedir(), 'b.ckpt'),
      vae: path.join(homedir(), 'v.pt'),
      motionModule: { path: path.join(folder, 'configs', 'mm.ckpt') },
      out: `${path.join(folder, 'samples')}/`,
    });
    await write('base: hf:owner/repo\nmotionModule: /mm/v2.ckpt\n');
    assert.deepEqual(await loadConfig(file), { base: 'hf:owner/repo', motionModule: '/mm/v2.ckpt' });
  });

  it('is named in errors as the caller named it', async () => {
    const file = await write('frames: 0');
    await assert.rejects(loadConfig(file), { code: 'ERR_CONFIG', message: new RegExp(`^${file}:1:9: `) });
  });

  const kinds: readonly (readonly [string, () => Promise<string>, string, RegExp])[] = [
    ['does not exist', async () => path.join(folder, 'nowhere.yaml'), 'ERR_FILE_NOT_FOUND', /ENOENT/],
    ['is a folder', async () => folder, 'ERR_CONFIG', /This is a folder/],
    ['is not UTF-8', () => write(Buffer.from([0x62, 0xff, 0xfe, 0x00])), 'ERR_CONFIG', /not a text file/],
  ];
  for (const [name, make, code, words] of kinds) {
    it(`is refused when it ${name}`, async () => {
      await assert.rejects(loadConfig(await make()), { code, message: words });
    });
  }

  it('is refused without being read whole when it is a checkpoint of several gigabytes', async () => {
    const file = await write('');
    await truncate(file, 4 * 2 ** 30);
    const started = performance.now();
    await assert.rejects(loadConfig(file), { code: 'ERR_CONFIG', message: /at most 1 MiB/ });
    assert.ok(performance.now() - started < 1000);
  });
});
