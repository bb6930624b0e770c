/** The doctor's report as text for one screen. */
import type { DoctorReport } from './doctor.ts';

const GIGABYTE = 1e9;

/** Lays out `report` in at most 24 lines where nothing is wrong; problems follow with what to do. */
export function formatReport(report: DoctorReport): string {
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['platform', [platformText(report)]],
    ['node', [report.node]],
    ['cpu', cpuLines(report)],
    ['memory', [`${gigabytes(report.memory.total)}, ${gigabytes(report.memory.available)} available`]],
    ['addon', addonLines(report)],
    ['engine', engineLines(report)],
    ['libtorch', libtorchLines(report)],
    ['devices', deviceLines(report)],
    ['cuda', cudaLines(report)],
    ['cache', [report.cacheFolder]],
  ];
  const body = rows.flatMap(([name, lines]) =>
    lines.map((line, index) => `  ${(index === 0 ? name : '').padEnd(10)}${line}`),
  );
  const verdict = report.ok
    ? ['Clips can be made on this machine.']
    : report.problems.map((problem) => `Problem: ${problem}`);
  return [`animatediff-native ${report.version}`, ...body, '', ...verdict].join('\n');
}

function platformText({ platform }: DoctorReport): string {
  const library =
    platform.os === 'linux' ? `, ${platform.glibc ? `glibc ${platform.glibc}` : 'no glibc (musl)'}` : '';
  return `${platform.os} ${platform.kernel} ${platform.arch}${library}`;
}

function cpuLines({ cpu }: DoctorReport): readonly string[] {
  const features = cpu.features.length > 0 ? cpu.features.join(', ') : 'no vector extensions known';
  const kernels = cpu.capability ? `; LibTorch uses ${cpu.capability}` : '';
  return [`${cpu.model}, ${cpu.cores} cores, ${cpu.threads} threads`, `${features}${kernels}`];
}

function addonLines({ addon }: DoctorReport): readonly string[] {
  if (addon.path === undefined) return ['missing'];
  return [addon.loads ? `ok, compiled for LibTorch ${addon.compiledFor}` : 'does not load', addon.path];
}

function engineLines({ engine, libtorch }: DoctorReport): readonly string[] {
  if (engine.path === undefined) return ['missing'];
  return [engine.opens ? 'ok' : libtorch ? 'does not open' : 'not tried without LibTorch', engine.path];
}

function libtorchLines({ libtorch }: DoctorReport): readonly string[] {
  if (libtorch === undefined) return ['not found'];
  return [`${libtorch.version}, from ${SOURCES[libtorch.source]}`, libtorch.root];
}

const SOURCES: Readonly<Record<NonNullable<DoctorReport['libtorch']>['source'], string>> = {
  option: 'the option `libtorch`',
  ANIMATEDIFF_LIBTORCH: 'ANIMATEDIFF_LIBTORCH',
  LIBTORCH: 'LIBTORCH',
  cache: 'the cache',
  python: "Python's torch",
};

function deviceLines({ devices }: DoctorReport): readonly string[] {
  if (devices.length === 0) return ['none'];
  return devices.map(({ kind, index, name, totalBytes, freeBytes }) => {
    const memory = totalBytes > 0 ? `, ${gigabytes(totalBytes)}, ${gigabytes(freeBytes)} free` : '';
    return `${kind === 'cuda' ? `cuda:${index}` : 'cpu'}${name ? `  ${name}` : ''}${memory}`;
  });
}

function cudaLines({ cuda }: DoctorReport): readonly string[] {
  const driver = cuda.driver ? ` (driver ${cuda.driver})` : '';
  if (!cuda.usable) return [`not used${driver}: ${cuda.reason}`];
  const kernels = cuda.withoutKernels
    ? `LibTorch's kernels only: ${cuda.withoutKernels}`
    : "with the package's own kernels";
  return [`usable${driver}`, kernels];
}

function gigabytes(bytes: number): string {
  return `${(bytes / GIGABYTE).toFixed(1)} GB`;
}
