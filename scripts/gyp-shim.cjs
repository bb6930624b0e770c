#!/usr/bin/env node
/**
 * What prebuildify calls instead of node-gyp: builds with CMake and leaves the native files where node-gyp
 * would, in build/Release of the current folder: two of them, and the library of CUDA kernels where
 * ANIMATEDIFF_PREBUILD_CUDA asks for it ("all", or architectures such as "80,90"). Node-API needs no headers
 * of one Node version, so the arguments, which choose one, do not matter.
 */
const { spawnSync } = require('node:child_process');
const path = require('node:path');

const output = path.join(process.cwd(), 'build', 'Release');
const build = (script, ...flags) =>
  spawnSync(process.execPath, [path.join(__dirname, script), '--output', output, ...flags], {
    stdio: 'inherit',
  }).status ?? 1;

const cuda = process.env.ANIMATEDIFF_PREBUILD_CUDA;
process.exitCode = build('build-native.mjs');
if (process.exitCode === 0 && cuda) {
  process.exitCode = build('build-cuda.mjs', ...(cuda === 'all' ? [] : ['--architectures', cuda]));
}
