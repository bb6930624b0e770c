/** Formatters, linters and the type checker, over everything: `npm run check`. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { Failure, isProgram, main, ROOT, run, runNode, say } from './run.mjs';
import { ensureTool } from './tools.mjs';
import { buildTypescript } from './typescript.mjs';

const CHECKS = [
  [
    'biome',
    () =>
      runNode('@biomejs/biome/bin/biome', [
        'ci',
        '--error-on-warnings',
        `--colors=${process.stderr.isTTY ? 'force' : 'off'}`,
        '.',
      ]),
  ],
  ['types', () => runNode('typescript/bin/tsc', ['-p', 'tsconfig.json'])],
  ['clang-format', checkNative],
  ['ruff', checkPython],
];

/** Runs every check, and throws when one of them failed. */
export async function check() {
  // The tools come by way of the package's own downloads.
  await buildTypescript();
  const failed = [];
  for (const [name, body] of CHECKS) {
    say(`check: ${name}`);
    await body().catch((error) => {
      if (error.status === undefined) throw error;
      failed.push(name);
    });
  }
  if (failed.length > 0) throw new Failure(`These checks failed: ${failed.join(', ')}.`);
}

async function checkNative() {
  const files = (await readdir(path.join(ROOT, 'native'), { recursive: true }))
    .filter((name) => /\.(cc|h|cu)$/.test(name))
    .map((name) => path.join('native', name));
  if (files.length > 0) await run(await ensureTool('clang-format'), ['--dry-run', '-Werror', ...files]);
}

async function checkPython() {
  const ruff = await ensureTool('ruff');
  await run(ruff, ['check', '--quiet', '.']);
  await run(ruff, ['format', '--quiet', '--check', '.']);
}

if (isProgram(import.meta.url)) await main(check);
