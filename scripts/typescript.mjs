/** Compiles lib/ into dist/, when a source is newer. A half-written dist/ is never seen. */
import { existsSync } from 'node:fs';
import { chmod, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { isProgram, main, ROOT, runNode, say } from './run.mjs';

const DIST = path.join(ROOT, 'dist');
const CONFIGURATION = ['package.json', 'tsconfig.json', 'tsconfig.build.json'];

/** Makes dist/ up to date. */
export async function buildTypescript() {
  const sources = await readdir(path.join(ROOT, 'lib'), { recursive: true });
  // A folder is newer when a file in it went away.
  const inputs = ['lib', ...sources.map((name) => path.join('lib', name)), ...CONFIGURATION];
  const times = await Promise.all(inputs.map(async (name) => (await stat(path.join(ROOT, name))).mtimeMs));
  const built = (await stat(DIST).catch(() => undefined))?.mtimeMs ?? 0;
  const newest = Math.ceil(Math.max(...times));
  // Times are kept to the microsecond at best.
  if (Math.ceil(built) >= newest) return;
  say('compiling lib/ to dist/');
  const fresh = path.join(ROOT, `build-ts-${process.pid}`);
  const old = `${fresh}-old`;
  try {
    await runNode('typescript/bin/tsc', ['-p', 'tsconfig.build.json', '--outDir', fresh]);
    await chmod(path.join(fresh, 'cli', 'index.js'), 0o755);
    // The time of the sources that were read: one that changes meanwhile is newer.
    await utimes(fresh, new Date(), new Date(newest));
    await rename(DIST, old).catch(() => {});
    // Another process may have put its own there meanwhile.
    await rename(fresh, DIST).catch((error) => {
      if (!existsSync(DIST)) throw error;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
    await rm(old, { recursive: true, force: true });
  }
}

/** Imports a module of the compiled package, such as `libtorch/find.js`. */
export async function importBuilt(name) {
  return await import(new URL(`../dist/${name}`, import.meta.url).href);
}

if (isProgram(import.meta.url)) await main(buildTypescript);
