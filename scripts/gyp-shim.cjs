#!/usr/bin/env node
/**
 * What prebuildify calls instead of node-gyp: builds with CMake and leaves the two native files where
 * node-gyp would, in build/Release of the current folder. Node-API needs no headers of one Node version, so
 * the arguments, which choose one, do not matter.
 */
const { spawnSync } = require('node:child_process');
const path = require('node:path');

const script = path.join(__dirname, 'build-native.mjs');
const output = path.join(process.cwd(), 'build', 'Release');
const { status } = spawnSync(process.execPath, [script, '--output', output], { stdio: 'inherit' });
process.exitCode = status ?? 1;
