/**
 * Packs the native files into prebuilds/ with prebuildify: `npm run build:prebuilds`. prebuildify moves what
 * it packs out of build/Release, so it works in a folder of its own.
 */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { main, ROOT, runNode } from './run.mjs';

await main(async () => {
  const folder = path.join(ROOT, 'build-prebuilds');
  await rm(path.join(ROOT, 'prebuilds'), { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  const shim = path.join(ROOT, 'scripts', 'gyp-shim.cjs');
  await runNode('prebuildify/bin.js', [
    '--napi',
    '--strip',
    '--name=animatediff-native',
    `--cwd=${folder}`,
    `--out=${ROOT}`,
    `--node-gyp=${shim}`,
  ]);
  await rm(folder, { recursive: true, force: true });
});
