/** Why CUDA is not used: the first link of the chain from the driver to LibTorch that is missing. */
import type { NvidiaDriver } from './nvidia.ts';
import { OLDEST_DRIVER } from './nvidia.ts';
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
  { missing: ({ libtorch }) => libtorch === undefined, reason: () => 'no LibTorch was found' },
  {
    missing: ({ libtorch }) => libtorch?.cuda === false,
    reason: ({ libtorch }) =>
      `LibTorch ${libtorch?.version} is a CPU build; \`npx animatediff-native install --device cuda\` fetches a CUDA build`,
  },
  {
    missing: ({ driver, libtorch }) =>
      driver.version !== undefined &&
      needsNewDriver(libtorch?.version) &&
      olderThan(driver.version, OLDEST_DRIVER),
    reason: ({ driver, libtorch }) =>
      `the driver ${driver.version} is too old for LibTorch ${libtorch?.version}, which needs ${OLDEST_DRIVER} or newer`,
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

/** Builds for CUDA 13 name it in their version: `2.13.0+cu130`. */
function needsNewDriver(version: string | undefined): boolean {
  return /\+cu13\d/.test(version ?? '');
}
