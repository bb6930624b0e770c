/**
 * Finds out what works on this machine, what does not, and why: `animatediff-native doctor`. Never throws;
 * whatever goes wrong is a line of the report.
 */
import process from 'node:process';
import { type Environment, readEnvironment } from '../environment.ts';
import { packageVersion } from '../package-info.ts';
import { explainCuda } from './cuda.ts';
import { findLibTorch, type LibTorchInfo } from './find.ts';
import { type Cpu, describeCpu, describeMemory, type Memory } from './machine.ts';
import { findLibcuda, type NvidiaDriver, nvidiaDriver } from './nvidia.ts';
import { currentPlatform, type Platform, platformProblem } from './platform.ts';
import { type ProbedDevice, probeNative } from './probe.ts';

export { formatReport } from './doctor-text.ts';

/** Everything the first question of a bug report asks for, as plain data. */
export interface DoctorReport {
  /** Clips can be made on this machine. */
  readonly ok: boolean;
  /** What is wrong and what to do about it; empty when `ok`. */
  readonly problems: readonly string[];
  readonly version: string;
  readonly platform: Platform;
  readonly node: string;
  readonly cpu: Cpu & { /** Instruction set of LibTorch's kernels. */ readonly capability?: string };
  readonly memory: Memory;
  /** The glue between Node and the engine. */
  readonly addon: { readonly path?: string; readonly loads: boolean; readonly compiledFor?: string };
  /** `opens`: together with LibTorch. */
  readonly engine: { readonly path?: string; readonly opens: boolean };
  readonly libtorch: Pick<LibTorchInfo, 'root' | 'version' | 'source' | 'cuda'> | undefined;
  readonly devices: readonly ProbedDevice[];
  readonly cuda: {
    readonly usable: boolean;
    /** Why it is not used; undefined when it is usable. */
    readonly reason?: string;
    /** Version of NVIDIA's driver. */
    readonly driver?: string;
    /** Why LibTorch's kernels run in place of the package's own; undefined when the own ones do. */
    readonly withoutKernels?: string;
  };
  readonly cacheFolder: string;
}

export interface DiagnoseOptions {
  /** Folder of a LibTorch to look at instead of the one that is found. */
  readonly libtorch?: string;
  readonly environment?: Environment;
  /** Module with the native part, as a file: address; another than the package's own only in tests. */
  readonly nativeModule?: string;
  readonly driver?: NvidiaDriver;
}

/** Examines this machine. Loads the native files in another process, which takes a second or two. */
export async function diagnose(options: DiagnoseOptions = {}): Promise<DoctorReport> {
  const environment = options.environment ?? readEnvironment();
  const driver = options.driver ?? nvidiaDriver();
  const platform = currentPlatform();
  const native = await probeNative({ module: options.nativeModule, libtorch: options.libtorch });
  const compiledFor = native.addonLoads;
  const found = search({ libtorch: options.libtorch, compiledFor }, environment, driver);
  const devices = native.devices ?? [];
  const reason = explainCuda({
    devices,
    driver,
    libcuda: findLibcuda(environment),
    visibleDevices: environment.cudaVisibleDevices,
    libtorch: found.info,
  });
  const problems = [
    platformProblem(platform),
    found.problem,
    nativeProblem(native.failure, found.problem),
  ].filter((problem) => problem !== undefined);
  return {
    ok: problems.length === 0,
    problems,
    version: packageVersion(),
    platform,
    node: process.versions.node,
    cpu: { ...describeCpu(), capability: native.capability },
    memory: describeMemory(),
    addon: { path: native.addon, loads: compiledFor !== undefined, compiledFor },
    engine: { path: native.engine, opens: native.opens !== undefined },
    libtorch: found.info && describeLibTorch(found.info),
    devices,
    cuda: {
      usable: reason === undefined,
      reason,
      driver: driver.version,
      withoutKernels: native.kernels || undefined,
    },
    cacheFolder: environment.cacheFolder,
  };
}

interface Search {
  readonly info?: LibTorchInfo;
  readonly problem?: string;
}

function search(
  options: { readonly libtorch?: string; readonly compiledFor?: string },
  environment: Environment,
  driver: NvidiaDriver,
): Search {
  try {
    return { info: findLibTorch({ ...options, purpose: 'run', device: 'auto' }, { environment, driver }) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

/** The probe stops at a LibTorch that was not found as well; that is said once. */
function nativeProblem(
  failure: { readonly step: string; readonly message: string } | undefined,
  libtorchProblem: string | undefined,
): string | undefined {
  if (failure === undefined || (failure.step === 'opens' && libtorchProblem !== undefined)) return undefined;
  return failure.message;
}

function describeLibTorch({ root, version, source, cuda }: LibTorchInfo): DoctorReport['libtorch'] {
  return { root, version, source, cuda };
}
