/**
 * Packs the native files into prebuilds/ with prebuildify: `npm run build:prebuilds`, and the library of CUDA
 * kernels beside them: `npm run build:prebuilds -- --cuda [--architectures 80,90]`. prebuildify moves what it
 * packs out of build/Release, so it works in a folder of its own.
 */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { main, ROOT, runNode } from './run.mjs';

await main(async () => {
  const options = { cuda: { type: 'boolean' }, architectures: { type: 'string' } };
  const { cuda, architectures } = parseArgs({ options }).values;
  // gyp-shim.cjs reads it. `npm publish` runs this script without flags.
  if (cuda) process.env.ANIMATEDIFF_PREBUILD_CUDA = architectures ?? 'all';
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
