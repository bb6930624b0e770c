/**
 * Everything that a fresh checkout needs before it can run: dist/, LibTorch, CMake and Ninja, the native
 * files. Says what it fetches; what is there is left alone.
 */
import { buildNative } from './build-native.mjs';
import { isProgram, main } from './run.mjs';

/** @param {{ tests?: boolean }} options `tests`: also builds the C++ unit tests. Returns CMake's folder. */
export async function setup(options = {}) {
  return await buildNative(options);
}

if (isProgram(import.meta.url)) await main(() => setup());
