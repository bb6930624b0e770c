import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, realpathSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder, writeFiles } from '../libtorch/support/folders.ts';
import { NPM, ROOT } from './support/npm.ts';

/** The node-gyp that comes with npm. */
function nodeGyp(): string {
  const [, script] = NPM;
  const npm = script ?? realpathSync(spawnSync('which', ['npm'], { encoding: 'utf8' }).stdout.trim());
  return createRequire(npm).resolve('node-gyp/bin/node-gyp.js');
}

/** A folder where node-gyp builds the sources of this checkout without touching its build/. */
function gypProject(): string {
  const folder = temporaryFolder();
  for (const name of ['binding.gyp', 'CMakeLists.txt', 'package.json']) {
    copyFileSync(path.join(ROOT, name), path.join(folder, name));
  }
  symlinkSync(path.join(ROOT, 'scripts'), path.join(folder, 'scripts'));
  // The headers of Node, which node-gyp would fetch, and which binding.gyp does not use.
  writeFiles(folder, { 'node/include/node/common.gypi': '{}' });
  return folder;
}

function runNodeGyp(folder: string, command: string): void {
  const { status, stderr } = spawnSync(
    process.execPath,
    [nodeGyp(), command, `--nodedir=${path.join(folder, 'node')}`],
    {
      cwd: folder,
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0, stderr);
}

describe('binding.gyp', () => {
  it('hands the build to CMake', () => {
    const folder = gypProject();
    runNodeGyp(folder, 'configure');
    const rules = readFileSync(path.join(folder, 'build', 'animatediff-native.target.mk'), 'utf8');
    assert.match(rules, /node scripts\/build-native\.mjs --output/);
    // node-gyp builds with make, which the rest of this package does not need.
    if (spawnSync('make', ['--version']).status !== 0) return;
    runNodeGyp(folder, 'build');
    for (const name of ['animatediff-native.node', 'libanimatediff.so']) {
      const built = path.join(folder, 'build', 'Release', name);
      const expected = path.join(ROOT, 'build-cmake', 'Release', name);
      assert.ok(readFileSync(built).equals(readFileSync(expected)), `${name} is not what CMake built`);
    }
  });
});

describe('the native build', () => {
  const dynamicSection = (name: string) => {
    const { stdout } = spawnSync('readelf', ['-d', path.join(ROOT, 'build', 'Release', name)], {
      encoding: 'utf8',
    });
    const tags = [...stdout.matchAll(/\((NEEDED|RPATH|RUNPATH)\)[^[]*\[([^\]]*)\]/g)];
    return {
      needed: tags.filter(([, tag]) => tag === 'NEEDED').map(([, , value]) => value),
      paths: tags.filter(([, tag]) => tag !== 'NEEDED'),
    };
  };
  const SYSTEM = /^(libc|libm|libdl|libpthread|libgcc_s|libstdc\+\+|ld-linux-[\w-]+)\.so/;

  it('gives an addon that needs no LibTorch', () => {
    const { needed, paths } = dynamicSection('animatediff-native.node');
    assert.deepEqual(
      needed.filter((name) => !SYSTEM.test(name ?? '')),
      [],
    );
    assert.deepEqual(paths, []);
  });

  it('gives an engine that needs of LibTorch what the CPU build has, and looks nowhere for it', () => {
    const { needed, paths } = dynamicSection('libanimatediff.so');
    assert.deepEqual(needed.filter((name) => !SYSTEM.test(name ?? '')).sort(), [
      'libc10.so',
      'libtorch_cpu.so',
    ]);
    assert.deepEqual(paths, []);
  });

  it('does nothing when nothing changed', () => {
    const stamp = path.join(ROOT, 'build-cmake', 'stamp.json');
    assert.ok(existsSync(stamp));
    const before = readFileSync(stamp, 'utf8');
    const { status, stderr } = spawnSync(process.execPath, [path.join(ROOT, 'scripts', 'build-native.mjs')], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stderr, /compiling native/);
    assert.equal(readFileSync(stamp, 'utf8'), before);
  });
});
