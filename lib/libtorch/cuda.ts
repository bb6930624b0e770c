/** Why CUDA is not used: the first link of the chain from the driver to LibTorch that is missing. */
import { libcudaVersion, type NvidiaDriver, OLDEST_DRIVERS } from './nvidia.ts';
import { olderThan } from './platform.ts';

/** The links of the chain. */
export interface CudaFacts {
  /** Devices that LibTorch reports. */
  readonly devices: readonly { readonly kind: 'cpu' | 'cuda' }[];
  readonly driver: NvidiaDriver;
  /** Path of libcuda.so.1. */
  readonly libcuda: string | undefined;
  /** `CUDA_VISIBLE_DEVICES`. */
  readonly visibleDevices: string | undefined;
  readonly libtorch: { readonly version: string; readonly cuda: boolean; readonly root: string } | undefined;
}

interface Link {
  readonly missing: (facts: CudaFacts) => boolean;
  readonly reason: (facts: CudaFacts) => string;
}

const LINKS: readonly Link[] = [
  {
    missing: ({ driver }) => !driver.present,
    reason: () => 'no NVIDIA driver is loaded (there is no /proc/driver/nvidia/version)',
  },
  {
    missing: ({ libcuda }) => libcuda === undefined,
    reason: () =>
      "the driver's libcuda.so.1 is not visible here; a container needs NVIDIA's runtime (docker run --gpus all)",
  },
  {
    missing: ({ visibleDevices }) => visibleDevices !== undefined && /^\s*(-1.*)?$/.test(visibleDevices),
    reason: ({ visibleDevices }) => `CUDA_VISIBLE_DEVICES is '${visibleDevices}', which hides every device`,
  },
  {
    missing: ({ driver }) => driver.gpus === 0,
    reason: ({ driver }) => `the NVIDIA driver ${driver.version} is loaded, and it has no GPU`,
  },
  {
    missing: ({ driver }) => driver.deviceFiles === 0,
    reason: () =>
      "no GPU is visible here (there is no /dev/nvidia0); a container needs NVIDIA's runtime (docker run --gpus all)",
  },
  {
    missing: ({ driver, libcuda }) => mismatch(driver, libcuda) !== undefined,
    reason: ({ driver, libcuda }) =>
      `the driver in the kernel is ${driver.version}, and ${libcuda} belongs to ${mismatch(driver, libcuda)}; restart the machine after an update of the driver`,
  },
  {
    missing: ({ visibleDevices, driver }) => hidesAll(visibleDevices, driver),
    reason: ({ visibleDevices, driver }) =>
      `CUDA_VISIBLE_DEVICES is '${visibleDevices}', and the driver has ${driver.gpus === 1 ? 'GPU 0 alone' : `GPUs 0 to ${(driver.gpus ?? 1) - 1}`}`,
  },
  { missing: ({ libtorch }) => libtorch === undefined, reason: () => 'no LibTorch was found' },
  {
    missing: ({ libtorch }) => libtorch?.cuda === false,
    reason: ({ libtorch }) =>
      `LibTorch ${libtorch?.version} in ${libtorch?.root} is ${buildName(libtorch?.version)}; \`npx animatediff-native install --device cuda\` fetches a CUDA build`,
  },
  {
    missing: ({ driver, libtorch }) =>
      driver.version !== undefined &&
      olderThan(driver.version, oldestDriver(libtorch?.version) ?? driver.version),
    reason: ({ driver, libtorch }) =>
      `the driver ${driver.version} is too old for LibTorch ${libtorch?.version}, which needs ${oldestDriver(libtorch?.version)} or newer`,
  },
  {
    missing: ({ devices }) => !devices.some(({ kind }) => kind === 'cuda'),
    reason: () => 'LibTorch reports no CUDA device; nvidia-smi tells whether the driver sees one',
  },
];

/** The reason, or undefined when there is a CUDA device that can be used. */
export function explainCuda(facts: CudaFacts): string | undefined {
  if (facts.devices.some(({ kind }) => kind === 'cuda')) return undefined;
  return LINKS.find(({ missing }) => missing(facts))?.reason(facts);
}

/** Oldest driver for a build that names its CUDA, as `2.13.0+cu130` does. */
function oldestDriver(version: string | undefined): string | undefined {
  return OLDEST_DRIVERS[/\+cu(\d\d)\d/.exec(version ?? '')?.[1] ?? ''];
}

/** `2.13.0+cpu`, `2.13.0+rocm6.4`, or a CUDA build whose CUDA half was left out. */
function buildName(version: string | undefined): string {
  const build = /\+(cpu|rocm)/.exec(version ?? '')?.[1];
  return build === 'rocm' ? 'a ROCm build' : build === 'cpu' ? 'a CPU build' : 'without libtorch_cuda.so';
}

/** The other version that libcuda has, unless it is one that NVIDIA made to run on an older driver. */
function mismatch({ version }: NvidiaDriver, libcuda: string | undefined): string | undefined {
  if (version === undefined || libcuda === undefined || libcuda.includes('/compat/')) return undefined;
  const other = libcudaVersion(libcuda);
  return other === version ? undefined : other;
}

/** CUDA takes the list up to the first number that is no GPU's. */
function hidesAll(visible: string | undefined, { gpus }: NvidiaDriver): boolean {
  const first = /^\s*(\d+)\s*(,|$)/.exec(visible ?? '')?.[1];
  return first !== undefined && gpus !== undefined && Number(first) >= gpus;
}
