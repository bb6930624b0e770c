/**
 * Builds the optional library with the CUDA kernels, libanimatediff_cuda.so, and puts it beside the engine in
 * build/Release: `npm run build:cuda`. Needs no GPU and no CUDA toolkit: nvcc comes from NVIDIA's Python packages
 * (105 MB) unless ANIMATEDIFF_NVCC names another one.
 *
 *   node scripts/build-cuda.mjs [--architectures 80,90] [--check] [--output <folder>]
 *
 * `--check` also builds cuda_check and runs it: the kernels against the CPU, skipped where no device answers.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { publish } from './build-native.mjs';
import { ensureLibTorch } from './libtorch.mjs';
import { isProgram, main, ROOT, run, say } from './run.mjs';
import { buildEnvironment, ensureNvcc } from './tools.mjs';
import { buildTypescript } from './typescript.mjs';

/** Builds, and returns the path of the library. */
export async function buildCuda({ architectures = '', check = false, output } = {}) {
  await buildTypescript();
  const folder = path.join(ROOT, 'build-cuda');
  const [libtorch, nvcc] = [await ensureLibTorch(), await ensureNvcc()];
  const env = await buildEnvironment();
  const definitions = {
    LIBTORCH: libtorch.root,
    CMAKE_BUILD_TYPE: 'Release',
    ANIMATEDIFF_CUDA: 'ON',
    ANIMATEDIFF_NVCC: nvcc,
    ANIMATEDIFF_CUDA_ARCHITECTURES: architectures.replaceAll(',', ';'),
    ANIMATEDIFF_BUILD_TESTS: check ? 'ON' : 'OFF',
  };
  say(`compiling native/cuda with ${nvcc}; this takes minutes`);
  await mkdir(folder, { recursive: true });
  const flags = Object.entries(definitions).map(([name, value]) => `-D${name}=${value}`);
  await run('cmake', ['-S', ROOT, '-B', folder, '-G', 'Ninja', '-Wno-dev', ...flags], { env });
  const targets = ['animatediff_cuda', ...(check ? ['cuda_check'] : [])];
  await run('cmake', ['--build', folder, '--target', ...targets], { env });
  if (check) {
    await run('ctest', ['--test-dir', folder, '-R', '^cuda_check$', '--verbose', '--no-tests=error'], {
      env,
    });
  }
  const target = path.resolve(output ?? path.join(ROOT, 'build', 'Release'));
  await publish(path.join(folder, 'native', 'cuda'), target, ['libanimatediff_cuda.so']);
  return path.join(target, 'libanimatediff_cuda.so');
}

if (isProgram(import.meta.url)) {
  await main(async () => {
    const { values } = parseArgs({
      options: { architectures: { type: 'string' }, check: { type: 'boolean' }, output: { type: 'string' } },
    });
    say(`built ${await buildCuda(values)}`);
  });
}
