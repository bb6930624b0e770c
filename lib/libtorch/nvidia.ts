/** Looks for NVIDIA's driver without loading anything of CUDA. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import type { Environment } from '../environment.ts';

/** Oldest driver that a LibTorch for a major version of CUDA runs with (CUDA release notes, minor version compatibility). */
export const OLDEST_DRIVERS: Readonly<Record<string, string>> = { '12': '525.60.13', '13': '580.65.06' };

/** Where the parts of the driver are looked for; another value only in tests. */
export interface NvidiaPlaces {
  /** The kernel module describes itself here. */
  readonly driver: string;
  /** The graphics adapter of Windows inside WSL 2, where there is no kernel module. */
  readonly wsl: string;
  /** One folder for each GPU that the driver has. */
  readonly gpus: string;
  /** Folder of the device files `nvidia0`, `nvidia1`, …, without which a process cannot open a GPU. */
  readonly devices: string;
  /** Folders that may hold `libcuda.so.1`. */
  readonly libraryFolders: readonly string[];
}

export const NVIDIA_PLACES: NvidiaPlaces = {
  driver: '/proc/driver/nvidia/version',
  wsl: '/dev/dxg',
  gpus: '/proc/driver/nvidia/gpus',
  devices: '/dev',
  libraryFolders: [
    '/usr/lib/x86_64-linux-gnu',
    '/usr/lib/aarch64-linux-gnu',
    '/usr/lib64',
    '/usr/lib',
    '/usr/lib/wsl/lib',
    '/usr/local/nvidia/lib64',
    '/usr/local/cuda/compat',
  ],
};

/** NVIDIA's driver as far as it can be seen. */
export interface NvidiaDriver {
  /** A driver is loaded. */
  readonly present: boolean;
  /** Such as `580.95.05`; undefined without a driver and in WSL 2. */
  readonly version: string | undefined;
  /** GPUs that the driver has, and those whose device file is visible here; absent where that is not known (WSL 2). */
  readonly gpus?: number;
  readonly deviceFiles?: number;
}

/** Entries of a folder; undefined where it cannot be read. */
function entries(folder: string): readonly string[] | undefined {
  try {
    return readdirSync(folder);
  } catch {
    return undefined;
  }
}

/** Is a driver loaded, and which? */
export function nvidiaDriver(places: NvidiaPlaces = NVIDIA_PLACES): NvidiaDriver {
  if (!existsSync(places.driver)) return { present: existsSync(places.wsl), version: undefined };
  // “NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue …”; open modules say “Open Kernel Module for x86_64”.
  const version = /Kernel Module\D*?(?:x86_64|aarch64)?\s+(\d+\.\d+(?:\.\d+)?)\s/.exec(
    readFileSync(places.driver, 'utf8'),
  )?.[1];
  const gpus = entries(places.gpus)?.length;
  const deviceFiles = entries(places.devices)?.filter((name) => /^nvidia\d+$/.test(name)).length;
  return { present: true, version, gpus, deviceFiles };
}

/** Path of `libcuda.so.1`, the user half of the driver, or undefined. */
export function findLibcuda(
  environment: Environment,
  places: NvidiaPlaces = NVIDIA_PLACES,
): string | undefined {
  for (const folder of [...environment.libraryPath, ...places.libraryFolders]) {
    const file = path.join(folder, 'libcuda.so.1');
    if (existsSync(file)) return file;
  }
  const known = spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8', timeout: 5000 }).stdout ?? '';
  return /libcuda\.so\.1 .*=> (\S+)/.exec(known)?.[1];
}

/** Version of the driver that a `libcuda.so.1` belongs to, from the name of the file behind it. */
export function libcudaVersion(libcuda: string): string | undefined {
  return /\.so\.(\d+\.\d+(?:\.\d+)?)$/.exec(existsSync(libcuda) ? realpathSync(libcuda) : libcuda)?.[1];
}
