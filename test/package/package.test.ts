import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readEnvironment } from '../../lib/environment.ts';
import { installTarball } from './support/consumer.ts';
import { NPM, ROOT } from './support/npm.ts';

const FOLDER = mkdtempSync(path.join(os.tmpdir(), 'animatediff-pack-'));
const PROJECT = path.join(FOLDER, 'project');
const INSTALLED = path.join(PROJECT, 'node_modules', 'animatediff-native');
const PREBUILDS = `prebuilds/${process.platform}-${process.arch}`;

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

let packed: Packed;
let names: readonly string[];

/** Runs a program text with Node in the project that has the package. */
function evaluate(text: string, type: 'commonjs' | 'module', env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(process.execPath, [`--input-type=${type}`, '-e', text], {
    cwd: PROJECT,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  }).trim();
}

before(() => {
  const [command, ...args] = NPM;
  const output = execFileSync(command, [...args, 'pack', '--json', '--pack-destination', FOLDER], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // Scripts that run before packing may write to stdout as well; newer versions of npm key the list by name.
  const [first] = Object.values(JSON.parse(output.slice(output.search(/^[[{]/m))) as Record<string, Packed>);
  assert.ok(first !== undefined);
  packed = first;
  names = packed.files.map((file) => file.path);
  installTarball(path.join(FOLDER, packed.filename), PROJECT);
});
after(() => rmSync(FOLDER, { recursive: true, force: true }));

describe('the packed package', () => {
  it('holds what it needs to run', () => {
    for (const name of [
      'package.json',
      'README.md',
      'LICENSE',
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cli/index.js',
      'dist/libtorch/probe.js',
      'native/graphs/manifest.json',
      'native/graphs/sd15-unet_motion_mid.pt',
      'native/vocabulary/clip-merges.txt.gz',
      `${PREBUILDS}/animatediff-native.node`,
      `${PREBUILDS}/libanimatediff.so`,
    ]) {
      assert.ok(names.includes(name), `${name} is missing`);
    }
  });

  it('holds nothing else', () => {
    const allowed =
      /^(dist|native\/graphs|native\/vocabulary|prebuilds|configs)\/|^models\/demo\/(README\.md|\w+\.safetensors)$|^[A-Z]+\.md$|^(package\.json|LICENSE)$/;
    const unwanted =
      /\.map$|\.tsbuildinfo$|(^|\/)(test|tests|node_modules|build|__pycache__)\/|\.test\.|\.tgz$|stamp\.json$/;
    assert.deepEqual(
      names.filter((name) => !allowed.test(name) || unwanted.test(name)),
      [],
    );
  });

  it('holds every graph that its manifest names', () => {
    const text = readFileSync(path.join(INSTALLED, 'native', 'graphs', 'manifest.json'), 'utf8');
    const { families } = JSON.parse(text) as { families: { graphs: Record<string, { name: string }> }[] };
    const graphs = families.flatMap((family) =>
      Object.values(family.graphs).map(({ name }) => `native/graphs/${name}.pt`),
    );
    assert.deepEqual(
      graphs.filter((name) => !names.includes(name)),
      [],
    );
  });

  it('has exactly one addon for this platform, which node-gyp-build would else have to guess', () => {
    const files = readdirSync(path.join(INSTALLED, PREBUILDS)).sort();
    assert.deepEqual(files, ['animatediff-native.node', 'libanimatediff.so']);
  });

  it('tells nothing of the machine that built it', () => {
    const secrets = [ROOT, readEnvironment().cacheFolder, os.homedir()].filter((folder) => folder.length > 1);
    for (const name of names) {
      const content = readFileSync(path.join(INSTALLED, name), 'latin1');
      for (const secret of secrets) assert.ok(!content.includes(`${secret}/`), `${name} names ${secret}`);
    }
  });

  it('runs nothing when it is installed', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(INSTALLED, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const event of ['preinstall', 'install', 'postinstall']) assert.equal(scripts[event], undefined);
    // npm builds a package with this file when it installs from a lockfile, which drops `gypfile: false`.
    assert.ok(!names.includes('binding.gyp'));
  });

  it('is small enough for the registry', () => {
    assert.ok(packed.size < 40e6, `${packed.size} bytes`);
  });

  it('is free of mistakes that publint knows', () => {
    const publint = path.join(ROOT, 'node_modules', 'publint', 'src', 'cli.js');
    const { status, stdout } = spawnSync(
      process.execPath,
      [publint, 'run', INSTALLED, '--strict', '--pack', 'false'],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(status, 0, stdout);
  });
});

describe('the installed package', () => {
  it('is loaded by require and by import, with the same exports', () => {
    const required = evaluate(
      `console.log(Object.keys(require('animatediff-native')).sort().join())`,
      'commonjs',
    );
    const imported = evaluate(
      `console.log(Object.keys(await import('animatediff-native')).sort().join())`,
      'module',
    );
    assert.equal(required, imported);
    assert.ok(required.split(',').includes('AnimateDiff'));
    const version = evaluate(`console.log(require('animatediff-native/package.json').version)`, 'commonjs');
    assert.match(version, /^\d+\.\d+\.\d+/);
  });

  it('is loaded without a word where there is no LibTorch', () => {
    const program = `const { diagnose } = require('animatediff-native'); diagnose().then((r) => console.log(JSON.stringify(r)))`;
    const env = {
      ANIMATEDIFF_CACHE: path.join(FOLDER, 'empty'),
      ANIMATEDIFF_PYTHON: 'false',
      ANIMATEDIFF_LIBTORCH: '',
      LIBTORCH: '',
    };
    const report = JSON.parse(evaluate(program, 'commonjs', env));
    assert.equal(report.ok, false);
    assert.equal(report.addon.loads, true);
    assert.equal(report.engine.opens, false);
    assert.match(report.problems.join(), /No LibTorch was found.*npx animatediff-native install/s);
  });

  it('opens the engine from its prebuilds', () => {
    const program = `import('animatediff-native').then(async ({ diagnose }) => console.log(JSON.stringify(await diagnose())))`;
    const report = JSON.parse(evaluate(program, 'commonjs'));
    assert.deepEqual(report.problems, []);
    assert.equal(
      realpathSync(report.addon.path),
      realpathSync(path.join(INSTALLED, PREBUILDS, 'animatediff-native.node')),
    );
    assert.equal(report.engine.opens, true);
  });

  it('has a command that prints its help', () => {
    const command = path.join(PROJECT, 'node_modules', '.bin', 'animatediff-native');
    assert.ok((statSync(command).mode & 0o111) !== 0);
    const help = execFileSync(command, ['--help'], { cwd: PROJECT, encoding: 'utf8' });
    for (const name of ['generate', 'demo', 'inspect', 'install', 'doctor', 'bake'])
      assert.match(help, new RegExp(`\\b${name}\\b`));
  });

  it('has types that need nothing but the language', () => {
    const file = path.join(PROJECT, 'use.mts');
    writeFileSync(
      file,
      `import { AnimateDiff, type LoadOptions } from 'animatediff-native';
const options: LoadOptions = { base: 'model.safetensors' };
export const pipe: Promise<AnimateDiff> = AnimateDiff.load(options);
// @ts-expect-error a folder is text
export const wrong: LoadOptions = { base: 3 };
`,
    );
    const compiler = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const flags = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--lib',
      'es2023,esnext.disposable,dom',
    ];
    const { status, stdout } = spawnSync(process.execPath, [compiler, ...flags, '--types', '', file], {
      cwd: PROJECT,
      encoding: 'utf8',
    });
    assert.equal(status, 0, stdout);
  });
});
