/** `inspect`, `install`, `doctor` and `bake`, and the command line around them. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Services } from '../../lib/cli/services.ts';
import { AnimateDiffError } from '../../lib/errors.ts';
import type { InstallPlan, InstallResult } from '../../lib/libtorch/install.ts';
import type { InspectReport } from '../../lib/weights/identify.ts';
import { fakeModel, runCli } from './fakes.ts';

const NONE = { count: 0, first: [] };

const MOTION_MODULE: InspectReport = {
  path: '/models/mm.ckpt',
  format: 'checkpoint',
  size: 1_817_888_431,
  tensors: 588,
  bytes: 1_817_000_000,
  dtypes: { F16: 42, F32: 546 },
  metadata: {},
  kind: 'motion-module',
  description: 'an AnimateDiff v2 motion module (original layout, 32 positions)',
  architecture: 'sd15',
  layout: 'original',
  holds: { unet: false, motion: true, vae: false, textEncoder: false },
  motion: { version: 'v2', maxFrames: 32, stated: true, assumed: false },
  emaTensors: 0,
  missing: NONE,
  mismatched: NONE,
  unknown: { count: 7, first: ['a.b', 'c\x1b[2Jd'] },
  usableAs: ['motionModule'],
  reason: null,
};

const inspect: Services['inspect'] = async (file) => {
  if (!file.endsWith('broken.safetensors')) return { ...MOTION_MODULE, path: file };
  throw new AnimateDiffError('ERR_FILE_CORRUPT', 'The header ends early.', { details: { path: file } });
};

describe('inspect', () => {
  it('prints a few lines for each file, without control characters of names', async () => {
    const { stdout, code } = await runCli(['inspect', 'mm.ckpt', 'other.ckpt'], { inspect });
    assert.equal(code, 0);
    const [first, second] = stdout.split(/^(?=\S)/m);
    assert.deepEqual(first?.trimEnd().split('\n'), [
      'mm.ckpt',
      '  is      an AnimateDiff v2 motion module (original layout, 32 positions)',
      '  use as  motionModule',
      '  motion  v2, at most 32 frames',
      '  file    torch checkpoint, 1.8 GB',
      '  tensors 588 (546 F32, 42 F16)',
      '  unknown 7 (a.b, c?[2Jd, …)',
    ]);
    assert.match(second ?? '', /^other\.ckpt\n/);
  });

  it('goes on after a file that cannot be read, and fails in the end', async () => {
    const { stdout, code } = await runCli(['inspect', 'broken.safetensors', 'mm.ckpt'], { inspect });
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^broken\.safetensors\n {2}error {3}The header ends early\.\n {2}code {4}ERR_FILE_CORRUPT\nmm\.ckpt\n/,
    );
  });

  it('prints one document for all files with --json', async () => {
    const { stdout, code } = await runCli(['inspect', '--json', 'broken.safetensors', 'mm.ckpt'], {
      inspect,
    });
    assert.equal(code, 1);
    const broken = path.resolve('broken.safetensors');
    assert.deepEqual(JSON.parse(stdout), {
      files: [
        {
          path: broken,
          error: { code: 'ERR_FILE_CORRUPT', message: 'The header ends early.', details: { path: broken } },
        },
        { ...MOTION_MODULE, path: path.resolve('mm.ckpt') },
      ],
    });
  });

  it('keeps file names that look like numbers', async () => {
    const { stdout } = await runCli(['inspect', '007'], { inspect });
    assert.match(stdout, /^007\n/);
  });
});

const PLAN: InstallPlan = {
  device: 'cpu',
  version: '2.13.0+cpu',
  folder: '/cache/libtorch/2.13.0+cpu',
  installed: false,
  artefacts: [
    {
      name: 'libtorch.zip',
      layout: 'archive',
      url: 'https://example.org/libtorch.zip',
      sha256: 'ab',
      bytes: 126_385_248,
    },
  ],
  bytes: 126_385_248,
  notes: ['a note'],
};

describe('install', () => {
  const result = (outcome: InstallResult['outcome']): InstallResult => ({
    folder: PLAN.folder,
    version: PLAN.version,
    device: 'cpu',
    outcome,
    plan: PLAN,
  });

  it('installs for the CPU by default and shows how far it is', async () => {
    const asked: unknown[] = [];
    const { stdout, stderr, code } = await runCli(['install'], {
      install: async ({ device, dryRun, onProgress }) => {
        asked.push({ device, dryRun });
        onProgress?.({ phase: 'resolve', name: 'LibTorch 2.13.0 (cpu)', done: 0, total: undefined });
        onProgress?.({ phase: 'download', name: 'libtorch.zip', done: 63e6, total: 126e6 });
        return result('installed');
      },
    });
    assert.deepEqual(asked, [{ device: 'cpu', dryRun: false }]);
    assert.deepEqual(
      [code, stdout],
      [0, 'LibTorch 2.13.0+cpu for cpu was installed in /cache/libtorch/2.13.0+cpu\n'],
    );
    assert.match(stderr, /look up LibTorch 2\.13\.0 \(cpu\)/);
    assert.match(stderr, /^download libtorch\.zip {2}63\.0 MB of 126 MB$/m);
  });

  it('prints what a dry run would fetch, and how large it is', async () => {
    const asked: unknown[] = [];
    const { stdout } = await runCli(['install', '--device', 'cuda', '--dry-run'], {
      install: async ({ device, dryRun }) => {
        asked.push({ device, dryRun });
        return result('planned');
      },
    });
    assert.deepEqual(asked, [{ device: 'cuda', dryRun: true }]);
    for (const part of [
      'libtorch.zip',
      'https://example.org/libtorch.zip',
      '126 MB',
      'in total',
      'a note',
      PLAN.folder,
    ]) {
      assert.ok(stdout.includes(part), part);
    }
  });

  it('prints the plan as one document with --json', async () => {
    const { stdout } = await runCli(['install', '--dry-run', '--json'], {
      install: async () => result('planned'),
    });
    assert.deepEqual(JSON.parse(stdout), result('planned'));
  });
});

describe('doctor', () => {
  const run = async (ok: boolean, ...argv: string[]) => {
    const asked: unknown[] = [];
    const result = await runCli(['doctor', ...argv], {
      diagnose: async (options) => {
        asked.push(options);
        return { ok } as Awaited<ReturnType<Services['diagnose']>>;
      },
      formatDiagnosis: async (report) => `one screen, ok: ${report.ok}`,
    });
    return { ...result, asked };
  };

  it('prints one screen, or one document', async () => {
    assert.equal((await run(true)).stdout, 'one screen, ok: true\n');
    assert.deepEqual(JSON.parse((await run(true, '--json')).stdout), { ok: true });
  });

  it('fails where clips cannot be made', async () => {
    assert.deepEqual([(await run(true)).code, (await run(false)).code], [0, 1]);
  });

  it('looks at the LibTorch that is named', async () => {
    assert.deepEqual((await run(true, '--libtorch', 'lt')).asked, [{ libtorch: path.resolve('lt') }]);
  });
});

describe('bake', () => {
  const argv = ['bake', '--base', 'sd15.ckpt', '--vae', 'v.pt', '--motion-module', 'mm.ckpt'];

  it('loads the model, writes the archive, and closes', async () => {
    const { model, load } = fakeModel();
    const { stdout, code } = await runCli([...argv, '--out', 'cat.pt'], { load }, { folder: '/models' });
    assert.deepEqual(
      [code, stdout, model.baked, model.closed],
      [0, '/models/cat.pt\n', ['/models/cat.pt'], 1],
    );
    assert.equal(model.loads[0]?.motionModule, '/models/mm.ckpt');
    assert.equal(model.loads[0]?.vae, '/models/v.pt');
    assert.deepEqual(model.layouts, ['torchscript']);
  });

  it('writes safetensors in the layout that is asked for, by default LDM', async () => {
    const { model, load } = fakeModel();
    for (const more of [[], ['--layout', 'diffusers']]) {
      const { code } = await runCli([...argv, '--out', 'cat.safetensors', ...more], { load });
      assert.equal(code, 0);
    }
    assert.deepEqual(model.layouts, ['ldm', 'diffusers']);
  });

  it('prints a document with --json', async () => {
    const { load } = fakeModel();
    const { stdout } = await runCli([...argv, '--out', 'cat.pt', '--json'], { load }, { folder: '/models' });
    assert.equal(JSON.parse(stdout).path, '/models/cat.pt');
  });

  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['nowhere to write', argv, /Give `--out model\.pt`/],
    ['another ending', [...argv, '--out', 'cat.zip'], /ends in \.pt or \.safetensors for `--out`/],
    ['a layout of another ending', [...argv, '--out', 'cat.pt', '--layout', 'ldm'], /ending \.safetensors/],
    ['no base', ['bake', '--out', 'cat.pt'], /which base to use/],
    ['a flag of generate', [...argv, '--out', 'cat.pt', '--steps', '3'], /Unknown flag `--steps`/],
  ];
  for (const [name, args, message] of wrong) {
    it(`is a wrong use with ${name}`, async () => {
      const { code, stderr } = await runCli(args);
      assert.equal(code, 2);
      assert.match(stderr, message);
    });
  }
});

const USAGE: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['no command', [], /Expected a command\. Run `animatediff-native --help`/],
  ['a mistyped command', ['generat'], /Unknown command 'generat'\. Did you mean `generate`\?/],
  [
    'an unknown command',
    ['paint'],
    /Unknown command 'paint'\. Commands: generate, demo, inspect, pull, models, install, doctor, bake/,
  ],
  [
    'a mistyped flag',
    ['generate', '--guidence-scale', '3'],
    /`--guidence-scale`\. Did you mean `--guidance-scale`\?/,
  ],
  ['the beginning of a flag', ['generate', '--negative', 'x'], /Did you mean `--negative-prompt`\?/],
  [
    'a flag of another command',
    ['doctor', '--prompt', 'x'],
    /Unknown flag `--prompt`\. Run `animatediff-native doctor --help`/,
  ],
  ['an unknown short flag', ['doctor', '-x'], /Unknown flag `-x`/],
  ['an argument too many', ['generate', 'a.yaml', 'b.yaml'], /Unexpected argument 'b\.yaml'/],
  ['a flag without its value', ['generate', '--frames'], /The flag `--frames` needs a value/],
  ['nothing to inspect', ['inspect'], /at least one file/],
  [
    'a choice that is made twice',
    ['install', '--device', 'cpu', '--device', 'cuda'],
    /`--device` was given 2 times/,
  ],
  [
    'two configurations',
    ['generate', '--config', 'a.yaml', '--config', 'b.yaml'],
    /`--config` was given 2 times/,
  ],
  [
    'an unknown choice',
    ['install', '--device', 'cdua'],
    /Expected cpu or cuda for `--device`, got 'cdua'\. Did you mean `cuda`/,
  ],
];

describe('a wrong command line', () => {
  for (const [name, argv, message] of USAGE) {
    it(`exits with 2 and the way out for ${name}`, async () => {
      const { code, stdout, stderr } = await runCli(argv);
      assert.match(stderr, message);
      assert.match(stderr, /^code: ERR_INVALID_ARGUMENT$/m);
      assert.deepEqual([code, stdout], [2, '']);
    });
  }

  it('is one document with --json, wherever the flag stands', async () => {
    for (const argv of [['--json', 'generat'], ['generate', '--foo', '--json'], ['--json']]) {
      const { stdout, code } = await runCli(argv);
      assert.deepEqual([JSON.parse(stdout).error.code, code], ['ERR_INVALID_ARGUMENT', 2]);
    }
  });
});

describe('help', () => {
  for (const command of ['generate', 'demo', 'inspect', 'pull', 'models', 'install', 'doctor', 'bake']) {
    it(`of ${command} has examples and is printed on stdout`, async () => {
      const { stdout, stderr, code } = await runCli([command, '--help']);
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, new RegExp(`^animatediff-native ${command}`));
      assert.match(stdout, new RegExp(`Examples:\\s+animatediff-native ${command}`));
      assert.match(stdout, /--json/);
    });
  }

  it('is no wider than the terminal', async () => {
    const { stdout } = await runCli(['generate', '--help']);
    assert.ok(stdout.split('\n').every((line) => line.length <= 80));
  });

  it('lists every command', async () => {
    const { stdout } = await runCli(['--help']);
    const commands = [
      'generate',
      'demo',
      'inspect',
      'pull',
      'models',
      'install',
      'doctor',
      'bake',
      'completion',
    ];
    for (const command of commands) {
      assert.match(stdout, new RegExp(`^ {2}animatediff-native ${command}\\b`, 'm'));
    }
  });
});

describe('completion', () => {
  it('offers commands, flags and the values of a flag', async () => {
    const complete = async (...words: string[]) => {
      const { stdout } = await runCli(['--get-yargs-completions', 'animatediff-native', ...words]);
      return stdout
        .trim()
        .split('\n')
        .map((line) => line.split(':')[0]);
    };
    assert.deepEqual(await complete(''), [
      'generate',
      'demo',
      'inspect',
      'pull',
      'models',
      'install',
      'doctor',
      'bake',
      'completion',
    ]);
    assert.deepEqual(await complete('generate', '--format', ''), ['gif', 'webp', 'apng', 'png']);
    assert.ok((await complete('generate', '--')).includes('--motion-module'));
  });
});
