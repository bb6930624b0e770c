/** `demo`: which model, settings, prompt and file it takes, and what it says. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { GenerateResult } from '../../lib/cli/run-generate.ts';
import { loadConfig } from '../../lib/config/load.ts';
import type { Config } from '../../lib/config/schema.ts';
import { DEMO_CAMERAS, DEMO_STYLES } from '../../lib/demo/choices.ts';
import { readDemoConfig } from '../../lib/demo/config.ts';
import { unknownWords } from '../../lib/demo/words.ts';
import { readMetadata } from '../../lib/output/read-metadata.ts';
import { openImage } from '../../lib/output/sharp.ts';
import { copyDemoConfigs, writeDemoModel, writeEmptyDemoModel } from '../support/demo-model.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type FakeModelOptions, fakeModel, runCli } from './fakes.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NAMES = ['demo', ...[...DEMO_STYLES, ...DEMO_CAMERAS].map((name) => `demo-${name}`)];

let folder = '';
let configs = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'animatediff-demo-'));
  configs = copyDemoConfigs(folder);
  writeEmptyDemoModel(folder);
});
afterEach(() => rm(folder, { recursive: true }));

const shipped = (name = 'demo'): Promise<Config> => loadConfig(path.join(configs, `${name}.yaml`));
const model = (file: string) => path.join(folder, 'models', 'demo', file);

async function demo(argv: readonly string[], options: FakeModelOptions = {}, overrides = {}) {
  const { model: used, load } = fakeModel(options);
  const demoConfig = (choice: Parameters<typeof readDemoConfig>[0]) => readDemoConfig(choice, configs);
  const result = await runCli(['demo', ...argv], { load, demoConfig }, { folder, ...overrides });
  return { ...result, load: used.loads[0], request: used.requests[0], model: used };
}

describe('demo', () => {
  it('animates the first prompt of configs/demo.yaml with its settings, into samples/demo.gif', async () => {
    const config = await shipped();
    const { code, stdout, stderr, load, request, model: used } = await demo([]);
    assert.deepEqual([code, stdout], [0, 'samples/demo.gif\n']);
    const { base, motionModule, checkpoint, device } = load ?? {};
    assert.deepEqual(
      { base, motionModule, checkpoint, device },
      {
        base: model('base.safetensors'),
        motionModule: model('motion_module.safetensors'),
        checkpoint: undefined,
        device: 'cpu',
      },
    );
    const { signal: _, onProgress: __, ...asked } = request ?? {};
    const { steps, guidanceScale, scheduler, frames, width, height } = config;
    assert.deepEqual(asked, {
      prompt: [config.prompt].flat()[0],
      negativePrompt: '',
      seed: [config.seed].flat()[0],
      ...{ steps, guidanceScale, scheduler, frames, width, height },
    });
    assert.match(stderr, /note: “a .+” in 0\.0 s\. Weights .+ on the host\.\n$/);
    assert.equal(used.closed, 1);
  });

  it('writes the parameters into the file', async () => {
    await demo(['a red heart bouncing in the night sky', '--seed', '18446744073709551615']);
    const [file = ''] = await readdir(path.join(folder, 'samples'));
    assert.equal(file, 'demo-a-red-heart-bouncing-in-the-night-sky.gif');
    const parameters = await readMetadata(path.join(folder, 'samples', file));
    assert.equal(parameters?.prompt, 'a red heart bouncing in the night sky');
    assert.equal(parameters?.seed, '18446744073709551615');
  });

  it('takes a prompt without quotes', async () => {
    const { request, stdout } = await demo(['a', 'green', 'moon', 'rising', '--out', 'moon.webp']);
    assert.deepEqual([request?.prompt, stdout], ['a green moon rising', 'moon.webp\n']);
  });

  it('names what was asked for in the file, also in a folder of its own', async () => {
    const { stdout } = await demo(['--style', 'neon', '--out', 'clips', '--format', 'apng']);
    assert.equal(stdout, 'clips/demo-neon.apng\n');
    const frames = await demo(['--format', 'png']);
    assert.equal(frames.stdout, 'samples/demo\n');
    assert.ok(existsSync(path.join(folder, 'samples', 'demo', '0000.png')));
  });

  it('takes the personalised checkpoint for neon', async () => {
    const { load, request } = await demo(['--style', 'neon']);
    assert.deepEqual([load?.base, load?.checkpoint], [model('base.safetensors'), model('neon.safetensors')]);
    assert.equal(request?.prompt, [(await shipped('demo-neon')).prompt].flat()[0]);
  });

  it('prints one JSON document with the time since the command began', async () => {
    let calls = 0;
    const now = () => new Date(Date.UTC(2026, 0, 1) + 100 * calls++);
    const { stdout } = await demo(['a dog', '--json'], {}, { now });
    const result = JSON.parse(stdout) as GenerateResult;
    assert.equal(result.clips[0]?.path, path.join(folder, 'samples', 'demo-a-dog.gif'));
    assert.ok(result.seconds >= 0.3, `${result.seconds} s`);
    assert.deepEqual(
      result.notices.map(({ code }) => code),
      ['demo-unknown-words'],
    );
  });

  it('says what is missing in a package without the model, and does not load anything', async () => {
    await rm(model('base.safetensors'));
    const { code, stderr, load } = await demo([]);
    assert.deepEqual([code, load], [1, undefined]);
    assert.match(stderr, /^error: The demo model is not complete: base\.safetensors missing in .*reinstall/);
    assert.match(stderr, /\ncode: ERR_FILE_NOT_FOUND\n$/);
  });

  it('refuses wrong values before it loads anything', async () => {
    const wrong = [
      [['--style', 'noen'], "Expected neon or crayon for `--style`, got 'noen'. Did you mean `neon`?"],
      [['--seed', 'x'], 'for `--seed`, got'],
      [['--out', 'a.mp4'], 'Expected a folder, or a file that ends in'],
      [['--steps', '3'], 'Unknown flag `--steps`.'],
      [['--style', 'neon', '--style', 'crayon'], 'The flag `--style` was given 2 times.'],
    ] as const;
    for (const [argv, message] of wrong) {
      const { code, stderr, load } = await demo(argv);
      assert.deepEqual([code, load], [2, undefined], stderr);
      assert.ok(stderr.includes(message), stderr);
    }
  });

  it('lists in its help what the model knows', async () => {
    const { stdout, code } = await runCli(['demo', '--help']);
    assert.equal(code, 0);
    for (const word of ['--style', '--camera', 'heart', 'purple', 'shrinking', 'in the desert']) {
      assert.ok(stdout.includes(word), word);
    }
  });
});

describe('a prompt with words that the model never saw', () => {
  it('is animated, with a notice of the words and of the vocabulary', async () => {
    const { code, stderr, request } = await demo(['A red Dragon, flying in the night sky; a dragon!']);
    assert.deepEqual([code, request?.prompt], [0, 'A red Dragon, flying in the night sky; a dragon!']);
    assert.match(
      stderr,
      /^note: The demo model never saw: dragon, flying\. It knows .*\n {2}Shapes: +circle, /,
    );
  });

  it('has none of the words of the captions', () => {
    const known = [
      'a red plus sign getting bigger over a field of snow',
      'In a starry night sky, an orange disc that is going round in circles.',
      'sinking down: a CYAN crescent sand of a desert',
    ];
    for (const prompt of known) assert.deepEqual(unknownWords(prompt), []);
    assert.deepEqual(unknownWords('two hearts, 3 grey côtés'), ['two', 'hearts', '3', 'grey', 'côtés']);
    assert.deepEqual(unknownWords(''), []);
  });

  const python = process.env.ANIMATEDIFF_PYTHON || 'python3';
  const skip = spawnSync(python, ['--version']).status !== 0 && 'no Python';
  it('are told by the sources of the captions (else: python scripts/demo/write_vocabulary.py)', {
    skip,
  }, async () => {
    const written = path.join(folder, 'vocabulary.ts');
    execFileSync(python, [path.join(ROOT, 'scripts', 'demo', 'write_vocabulary.py'), written]);
    const committed = await readFile(path.join(ROOT, 'lib', 'demo', 'vocabulary.ts'), 'utf8');
    assert.equal(await readFile(written, 'utf8'), committed);
  });
});

describe('the configurations of the demo', () => {
  it('are one for the base, each style and each camera move, with prompts that the model knows', async () => {
    const files = (await readdir(path.join(ROOT, 'configs'))).filter((name) => name.startsWith('demo'));
    assert.deepEqual(files.sort(), NAMES.map((name) => `${name}.yaml`).sort());
    for (const name of NAMES) {
      const prompts = [(await shipped(name)).prompt ?? []].flat();
      assert.ok(prompts.length >= 3, name);
      assert.deepEqual(
        prompts.flatMap((prompt) => unknownWords(String(prompt))),
        [],
        name,
      );
    }
  });

  it('are of one model at one size', async () => {
    const common = async (name: string) => {
      const { base, motionModule, device, frames, width, height } = await shipped(name);
      return { base, motionModule, device, frames, width, height };
    };
    const first = await common('demo');
    for (const name of NAMES) assert.deepEqual(await common(name), first, name);
  });

  it('are combined: settings and checkpoint of the style, LoRAs of style and camera', async () => {
    const files = async (choice: Parameters<typeof readDemoConfig>[0]) =>
      (await readDemoConfig(choice, configs)).loras?.map((lora) =>
        path.basename(typeof lora === 'string' ? lora : lora.path),
      );
    assert.deepEqual(await files({}), undefined);
    assert.deepEqual(await files({ camera: 'zoom-in' }), ['zoom_in_motion_lora.safetensors']);
    assert.deepEqual(await files({ style: 'crayon', camera: 'pan-left' }), [
      'crayon_lora.safetensors',
      'pan_left_motion_lora.safetensors',
    ]);
    const { loras: _, ...neon } = await readDemoConfig({ style: 'neon', camera: 'zoom-in' }, configs);
    assert.deepEqual(neon, await shipped('demo-neon'));
  });
});

describe('the process of the demo', () => {
  const CLI = fileURLToPath(new URL('demo-cli.ts', import.meta.url));
  let root = '';
  before(async () => {
    root = temporaryFolder();
    const target = copyDemoConfigs(root);
    writeDemoModel(root);
    for (const name of NAMES) {
      const file = path.join(target, `${name}.yaml`);
      await writeFile(file, (await readFile(file, 'utf8')).replace(/^steps: .*$/m, 'steps: 2'));
    }
  });

  const run = (...argv: string[]) =>
    spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), CLI, 'demo', ...argv], {
      cwd: root,
      env: { ...process.env, DEMO_CONFIGS: path.join(root, 'configs'), NO_COLOR: '1' },
      encoding: 'utf8',
      timeout: 120_000,
    });

  it('makes clips of every style and camera move with a random model', async () => {
    const choices = [
      [],
      ['--style', 'neon', '--camera', 'zoom-in'],
      ['--style', 'crayon'],
      ['--camera', 'pan-left'],
    ];
    const pixels: Buffer[] = [];
    for (const argv of choices) {
      const { status, stdout, stderr } = run('a cyan ring', ...argv, '--out', 'ring.gif');
      assert.deepEqual([status, stdout], [0, 'ring.gif\n'], stderr);
      assert.match(
        stderr,
        /sample {2}.*decode {2}16\/16.*note: “a cyan ring” in \d+\.\d s\. Weights .+ on the host\.\n$/s,
      );
      const image = await openImage(await readFile(path.join(root, 'ring.gif')), { animated: true });
      pixels.push(await image.raw().toBuffer());
    }
    const { frames, width, height } = (await readMetadata(path.join(root, 'ring.gif'))) ?? {};
    assert.deepEqual([frames, width, height], [16, 128, 128]);
    const different = new Set(pixels.map((clip) => clip.toString('base64')));
    assert.equal(different.size, choices.length);
  });
});
