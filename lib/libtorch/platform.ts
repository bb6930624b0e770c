/** What LibTorch's binaries need of the machine: Linux, glibc, x64 or arm64. */
import os from 'node:os';
import process from 'node:process';
import { AnimateDiffError } from '../errors.ts';

/** Oldest glibc that LibTorch's Linux binaries run with (manylinux_2_28). */
export const OLDEST_GLIBC = '2.28';

/** The operating system as far as binaries care. */
export interface Platform {
  /** `linux`, `darwin`, `win32`, … */
  readonly os: string;
  /** `x64`, `arm64`, … */
  readonly arch: string;
  /** Release of the kernel. */
  readonly kernel: string;
  /** Version of glibc, such as `2.36`; undefined where the C library is another one (musl). */
  readonly glibc: string | undefined;
}

/** The machine that this process runs on. */
export function currentPlatform(): Platform {
  return { os: process.platform, arch: process.arch, kernel: os.release(), glibc: glibcVersion() };
}

/** Why binaries cannot run on `platform` and what to do, or undefined when they can. */
export function platformProblem(platform: Platform): string | undefined {
  if (platform.os !== 'linux') {
    return `animatediff-native runs on Linux, and this is ${platform.os}. Use a Linux machine, a container or WSL 2.`;
  }
  if (platform.arch !== 'x64' && platform.arch !== 'arm64') {
    return `There is no LibTorch for ${platform.arch} processors. Use a machine with x64 or arm64.`;
  }
  if (platform.glibc === undefined) {
    return 'This system uses musl instead of glibc, and there is no LibTorch for musl. Use a Debian-based image, such as node:22-bookworm-slim, instead of Alpine.';
  }
  if (olderThan(platform.glibc, OLDEST_GLIBC)) {
    return `LibTorch needs glibc ${OLDEST_GLIBC} or newer, and this system has ${platform.glibc}. Use Debian 10, Ubuntu 20.04, RHEL 8 or newer.`;
  }
  return undefined;
}

/** Throws ERR_PLATFORM where LibTorch cannot run. */
export function assertPlatform(platform: Platform = currentPlatform()): void {
  const problem = platformProblem(platform);
  if (problem !== undefined) {
    const { os: system, arch, glibc } = platform;
    throw new AnimateDiffError('ERR_PLATFORM', problem, { details: { os: system, arch, glibc } });
  }
}

/** Compares dotted numbers: is `version` lower than `limit`? */
export function olderThan(version: string, limit: string): boolean {
  const [left, right] = [version, limit].map((text) => text.split('.').map(Number));
  for (let i = 0; i < Math.max(left?.length ?? 0, right?.length ?? 0); i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

let glibc: { readonly version: string | undefined } | undefined;

function glibcVersion(): string | undefined {
  if (glibc === undefined) glibc = { version: readGlibcVersion() };
  return glibc.version;
}

function readGlibcVersion(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const { report } = process as { report: NodeJS.ProcessReport & { excludeNetwork?: boolean } };
  // With the network part the report asks a name server for every interface, which can take seconds.
  const excluded = report.excludeNetwork;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  report.excludeNetwork = excluded;
  return header?.glibcVersionRuntime;
}
