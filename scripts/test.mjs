/**
 * The whole test run, with all of its set-up: `npm test`. With names of files or folders only those tests:
 * `npm test -- test/libtorch`. With --asan the tests of test/asan against a build with AddressSanitizer.
 */

import { execFileSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildNative, runNativeTests } from './build-native.mjs';
import { check } from './check.mjs';
import { Failure, main, ROOT, run, say } from './run.mjs';
import { setup } from './setup.mjs';

const ASAN_FOLDER = 'test/asan';

/** Node 20 takes no patterns for --test, so the files are listed here. */
async function testFiles(folders) {
  const files = (await readdir(path.join(ROOT, 'test'), { recursive: true }))
    .map((name) => path.posix.join('test', name))
    .filter((name) => name.endsWith('.test.ts'))
    .sort();
  return files.filter((name) => folders.some((folder) => name === folder || name.startsWith(`${folder}/`)));
}

async function runTests(files, env = process.env) {
  if (files.length === 0) throw new Failure('There are no such tests.');
  await run(process.execPath, ['--import', 'tsx', '--test', '--test-concurrency=1', ...files], {
    env,
    stdio: 'inherit',
  });
}

async function testEverything() {
  await check();
  const folder = await setup({ tests: true });
  say('C++ unit tests');
  await runNativeTests(folder);
  say('tests');
  const files = await testFiles(['test']);
  await runTests(files.filter((name) => !name.startsWith(`${ASAN_FOLDER}/`)));
}

async function testSome(names) {
  await setup();
  await runTests(await testFiles(names.map((name) => name.replace(/^\.\/|\/$/g, ''))));
}

async function testSanitized() {
  const folder = await buildNative({ sanitize: 'address' });
  const library = (name) =>
    execFileSync(process.env.CXX ?? 'c++', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
  await runTests(await testFiles([ASAN_FOLDER]), {
    ...process.env,
    ANIMATEDIFF_NATIVE_PREBUILD: folder,
    // The sanitizer must come first, and looks for the exception functions of libstdc++ when it starts.
    LD_PRELOAD: `${library('libasan.so')} ${library('libstdc++.so')}`,
    // V8 and LibTorch keep what they allocated once until the process ends.
    ASAN_OPTIONS: `detect_leaks=0:${process.env.ASAN_OPTIONS ?? ''}`,
  });
}

await main(async () => {
  const { values, positionals } = parseArgs({
    options: { asan: { type: 'boolean' } },
    allowPositionals: true,
  });
  if (values.asan) await testSanitized();
  else if (positionals.length > 0) await testSome(positionals);
  else await testEverything();
});
