/**
 * Finds CMake, Ninja and the formatters: on the PATH where they fit, else from their Python packages, which
 * are installed into the package's private cache the first time.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { say, versionOf } from './run.mjs';
import { importBuilt } from './typescript.mjs';

const atLeast = (limit) => (version) => {
  const [left, right] = [version, limit].map((text) => text.split('.').map(Number));
  return left[0] > right[0] || (left[0] === right[0] && left[1] >= right[1]);
};
/** Formatters of another release lay out differently, so that only the same one will do. */
const sameAs = (wanted, parts) => (version) =>
  version.split('.').slice(0, parts).join('.') === wanted.split('.').slice(0, parts).join('.');

/** Where each tool lies in its Python package, and which versions on the PATH are as good. */
const TOOLS = {
  cmake: { version: '3.31.10', folder: 'cmake/data/bin', fits: atLeast('3.22') },
  ninja: { version: '1.13.0', folder: 'bin', fits: atLeast('1.10') },
  'clang-format': { version: '22.1.5', folder: 'clang_format/data/bin', fits: sameAs('22.1.5', 1) },
  ruff: { version: '0.17.6', folder: 'bin', fits: sameAs('0.17.6', 2) },
};

/** Path of a tool. */
export async function ensureTool(name) {
  const { version, folder, fits } = TOOLS[name];
  const found = versionOf(name);
  if (found !== undefined && fits(found)) return name;
  const { readEnvironment } = await importBuilt('environment.js');
  const { ensurePackage } = await importBuilt('libtorch/pip.js');
  const { cacheFolder } = readEnvironment();
  if (!existsSync(path.join(cacheFolder, 'tools', `${name}-${version}`))) {
    say(`fetching ${name} ${version} from its Python package into ${path.join(cacheFolder, 'tools')}`);
  }
  return path.join(await ensurePackage(name, version), folder, name);
}

/**
 * NVIDIA's compiler of the CUDA release that LibTorch's builds use, and what it needs of the toolkit. The driver must be
 * of that release or newer.
 */
const CUDA = {
  folder: 'cuda-13.0.2',
  requirements: [
    'nvidia-cuda-nvcc==13.0.88',
    'nvidia-nvvm==13.0.88',
    'nvidia-cuda-crt==13.0.88',
    'nvidia-cuda-runtime==13.0.96',
    'nvidia-cuda-cccl==13.0.85',
  ],
};

/** Path of nvcc: `ANIMATEDIFF_NVCC`, else from the cache, into which it is fetched the first time. */
export async function ensureNvcc() {
  if (process.env.ANIMATEDIFF_NVCC) return path.resolve(process.env.ANIMATEDIFF_NVCC);
  const { readEnvironment } = await importBuilt('environment.js');
  const { ensurePackages } = await importBuilt('libtorch/pip.js');
  const { cacheFolder } = readEnvironment();
  if (!existsSync(path.join(cacheFolder, 'tools', CUDA.folder))) {
    say(`fetching nvcc from its Python packages (105 MB) into ${path.join(cacheFolder, 'tools')}`);
  }
  return path.join(await ensurePackages(CUDA.folder, CUDA.requirements), 'nvidia/cu13/bin/nvcc');
}

/** Environment with CMake, CTest and Ninja on the PATH. */
export async function buildEnvironment() {
  const folders = [];
  for (const name of ['cmake', 'ninja']) {
    const tool = await ensureTool(name);
    if (path.isAbsolute(tool)) folders.push(path.dirname(tool));
  }
  return { ...process.env, PATH: [...folders, process.env.PATH].join(path.delimiter) };
}
