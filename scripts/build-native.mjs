/**
 * Builds the two native files with cmake-js and puts them into build/Release, where node-gyp-build looks
 * first. Does nothing when neither sources nor LibTorch changed.
 *
 *   node scripts/build-native.mjs [--tests] [--sanitize address] [--output <folder>]
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ensureLibTorch } from './libtorch.mjs';
import { Failure, isProgram, main, ROOT, run, runNode, say, versionOf } from './run.mjs';
import { buildEnvironment } from './tools.mjs';
import { buildTypescript } from './typescript.mjs';

const RESULTS = ['animatediff-native.node', 'libanimatediff.so'];
const SOURCES = ['CMakeLists.txt', 'native/addon', 'native/cuda', 'native/engine', 'native/test'];

/**
 * Builds, and returns the folder that CMake builds in.
 *
 * @param {{ tests?: boolean, sanitize?: string, output?: string }} options `tests`: also the C++ unit tests;
 * `sanitize`: a variant with that sanitizer, in a folder of its own; `output`: where the two files go.
 */
export async function buildNative({ tests = false, sanitize = '', output } = {}) {
  await buildTypescript();
  const folder = path.join(ROOT, sanitize ? `build-${sanitize}` : 'build-cmake');
  // node-gyp-build finds a variant when ANIMATEDIFF_NATIVE_PREBUILD names its folder.
  const target = path.resolve(output ?? path.join(sanitize ? folder : ROOT, 'build', 'Release'));
  const libtorch = await ensureLibTorch();
  const stamp = await describe({ libtorch, tests });
  if (!(await isBuilt(folder, stamp))) await compile(folder, { libtorch, tests, sanitize, stamp });
  await publish(path.join(folder, 'Release'), target);
  return folder;
}

/** What the result depends on: everything but the sources must be equal to build in the same folder. */
async function describe({ libtorch, tests }) {
  const hash = createHash('sha256');
  for (const name of await sourceFiles()) {
    hash
      .update(name)
      .update('\0')
      .update(await readFile(path.join(ROOT, name)))
      .update('\0');
  }
  return {
    root: ROOT,
    libtorch: libtorch.root,
    version: libtorch.version,
    tests,
    sources: hash.digest('hex'),
  };
}

async function sourceFiles() {
  const files = [];
  for (const name of SOURCES) {
    if (name.includes('.')) files.push(name);
    else if (existsSync(path.join(ROOT, name))) {
      const inside = await readdir(path.join(ROOT, name), { recursive: true });
      files.push(...inside.filter((file) => /\.(cc|cu|h)$/.test(file)).map((file) => path.join(name, file)));
    }
  }
  return files.sort();
}

async function readStamp(folder) {
  try {
    return JSON.parse(await readFile(path.join(folder, 'stamp.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

async function isBuilt(folder, stamp) {
  const old = await readStamp(folder);
  const same = ['root', 'libtorch', 'version', 'sources'].every((key) => old?.[key] === stamp[key]);
  const complete = RESULTS.every((name) => existsSync(path.join(folder, 'Release', name)));
  return same && complete && (old.tests || !stamp.tests);
}

async function compile(folder, { libtorch, tests, sanitize, stamp }) {
  if (!versionOf(process.env.CXX ?? 'c++')) {
    throw new Failure('There is no C++ compiler (c++). Debian: apt-get install g++');
  }
  const old = await readStamp(folder);
  // CMake refuses a folder that was made for another place, and would mix the headers of two versions.
  if (old && ['root', 'libtorch', 'version'].some((key) => old[key] !== stamp[key])) {
    await rm(folder, { recursive: true, force: true });
  }
  say(`compiling native/ against LibTorch ${libtorch.version} in ${libtorch.root}`);
  await mkdir(folder, { recursive: true });
  // Written first without the sources' hash, so that a failed build is continued and not taken for done.
  const file = path.join(folder, 'stamp.json');
  await writeFile(file, JSON.stringify({ ...stamp, sources: undefined }));
  const env = await buildEnvironment();
  const flags = [
    '-O',
    folder,
    '-B',
    'Release',
    '-l',
    'warn',
    '-p',
    String(Math.max(2, os.availableParallelism())),
  ];
  const definitions = {
    LIBTORCH: libtorch.root,
    ANIMATEDIFF_BUILD_TESTS: tests || old?.tests ? 'ON' : 'OFF',
    ANIMATEDIFF_SANITIZE: sanitize,
  };
  flags.push(...Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`));
  for (const command of ['configure', 'build'])
    await runNode('cmake-js/bin/cmake-js', [command, ...flags], { env });
  await writeFile(file, JSON.stringify({ ...stamp, tests: tests || old?.tests === true }));
}

/** Copies files; a process that has the old ones open keeps them. */
export async function publish(from, to, names = RESULTS) {
  if (from === to) return;
  await mkdir(to, { recursive: true });
  for (const name of names) {
    const beside = path.join(to, `.${name}-${process.pid}`);
    await copyFile(path.join(from, name), beside);
    await rename(beside, path.join(to, name));
  }
}

/** Runs the C++ unit tests that were built in `folder`. */
export async function runNativeTests(folder) {
  await run('ctest', ['--test-dir', folder, '--output-on-failure', '--no-tests=error'], {
    env: await buildEnvironment(),
  });
}

if (isProgram(import.meta.url)) {
  await main(async () => {
    const { values } = parseArgs({
      options: { tests: { type: 'boolean' }, sanitize: { type: 'string' }, output: { type: 'string' } },
    });
    await buildNative(values);
  });
}
