/**
 * Reads what lies in the folder of a LibTorch. There are two layouts with the same `lib/` and `include/`:
 * the official archive (`libtorch/`, version in `build-version`) and the `torch` folder of the Python
 * package (version in `version.py`). CUDA builds expect NVIDIA's libraries in `../nvidia` beside the root.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** A LibTorch on disk. */
export interface LibTorchTree {
  /** Folder that holds `lib/` and `include/`. */
  readonly root: string;
  readonly libFolder: string;
  /** As LibTorch names itself: `2.13.0+cpu`, `2.13.0+cu130`. */
  readonly version: string;
  /** It is a CUDA build and its CUDA half is there. */
  readonly cuda: boolean;
  /** The headers are there, so that sources can be compiled against it. */
  readonly headers: boolean;
}

/** Libraries in the order in which they must be opened. */
export const CPU_LIBRARIES: readonly string[] = ['libc10.so', 'libtorch_cpu.so'];

/** Libraries that follow for CUDA; opening them registers the CUDA backend. */
export const CUDA_LIBRARIES: readonly string[] = ['libc10_cuda.so', 'libtorch_cuda.so'];

/** Opens the LibTorch in `folder`, in its `torch/` or in its `libtorch/`; a sentence when there is none. */
export function openTree(folder: string): LibTorchTree | string {
  if (!existsSync(folder)) return `${folder} does not exist`;
  const roots = [folder, path.join(folder, 'torch'), path.join(folder, 'libtorch')];
  const root = roots.find((candidate) => CPU_LIBRARIES.every((name) => hasLibrary(candidate, name)));
  if (root === undefined) return `${folder} holds no lib/libc10.so and lib/libtorch_cpu.so`;
  const version = readVersion(root);
  if (version === undefined) return `${root} does not tell its version (no build-version, no version.py)`;
  return {
    root,
    libFolder: path.join(root, 'lib'),
    version,
    cuda: CUDA_LIBRARIES.every((name) => hasLibrary(root, name)),
    headers: existsSync(path.join(root, 'include', 'torch', 'script.h')),
  };
}

function hasLibrary(root: string, name: string): boolean {
  const stat = statSync(path.join(root, 'lib', name), { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size > 0;
}

function readVersion(root: string): string | undefined {
  const archive = readText(path.join(root, 'build-version'));
  if (archive !== undefined) return archive.trim() || undefined;
  const wheel = readText(path.join(root, 'version.py'));
  return wheel && /^__version__\s*=\s*['"]([^'"]+)['"]/m.exec(wheel)?.[1];
}

function readText(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}
