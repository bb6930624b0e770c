/**
 * Loads the native files in a process of its own, so that a library that does not fit this machine ends that
 * process and not the one that asks. This file is both sides: {@link probeNative} starts the process, and
 * in that process the file runs as the program and sends what it finds, step by step.
 */
import { fork } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { LibTorchInfo } from './find.ts';

/** A device that LibTorch can use. */
export interface ProbedDevice {
  readonly kind: 'cpu' | 'cuda';
  readonly index: number;
  readonly name: string;
  /** Bytes; 0 where they are not known. */
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** What a probe needs of the module with the native part. */
export interface ProbedModule {
  /** Path of the addon; throws where there is none for this platform. */
  addonPath(): string;
  /** Path of the engine beside it; throws where it is missing. */
  enginePath(): string;
  /** Loads the addon alone. */
  compiledLibTorchVersion(): string;
  /** Opens LibTorch and the engine. */
  openEngine(options: { readonly libtorch?: string; readonly device?: 'auto' }): LibTorchInfo;
  devices(): readonly ProbedDevice[];
  cudaKernelsProblem(index: number): string;
  cpuCapability(): string;
}

/** Steps in their order; one that is missing in the findings was not reached. */
export type ProbeStep = 'addon' | 'addonLoads' | 'engine' | 'opens' | 'devices' | 'kernels' | 'capability';

/** What a probe found. */
export interface NativeFindings {
  /** Path of the addon. */
  readonly addon?: string;
  /** The addon loads, and is for this version of LibTorch. */
  readonly addonLoads?: string;
  /** Path of the engine. */
  readonly engine?: string;
  /** LibTorch and the engine open; root of that LibTorch. */
  readonly opens?: string;
  readonly devices?: readonly ProbedDevice[];
  /** Why the package's own kernels do not run on the first CUDA device; '' when they do, or there is none. */
  readonly kernels?: string;
  /** Instruction set of LibTorch's CPU kernels. */
  readonly capability?: string;
  /** Why the probe ended early. */
  readonly failure?: { readonly step: ProbeStep; readonly message: string };
}

export interface ProbeOptions {
  /** Module with the native part, as a file: address. Default: `native` of this package. */
  readonly module?: string;
  readonly libtorch?: string;
  /** Milliseconds after which the process is ended. Default 60 000. */
  readonly timeout?: number;
}

/** This file is run as a source or compiled, and so is the module that it loads. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** First argument of the other process; without it this file only exports. */
const FLAG = '--animatediff-probe';

type Steps = {
  readonly [Step in ProbeStep]: (native: ProbedModule, options: ProbeOptions) => NativeFindings[Step];
};

const STEPS: Steps = {
  addon: (native) => native.addonPath(),
  addonLoads: (native) => native.compiledLibTorchVersion(),
  engine: (native) => native.enginePath(),
  opens: (native, { libtorch }) => native.openEngine({ libtorch, device: 'auto' }).root,
  devices: (native) => native.devices(),
  kernels: (native) => {
    const device = native.devices().find(({ kind }) => kind === 'cuda');
    return device === undefined ? '' : native.cudaKernelsProblem(device.index);
  },
  capability: (native) => native.cpuCapability(),
};

const STEP_NAMES = Object.keys(STEPS) as readonly ProbeStep[];

/** Loads the native files step by step in another process. Never throws for what happens there. */
export async function probeNative(options: ProbeOptions = {}): Promise<NativeFindings> {
  const child = fork(fileURLToPath(import.meta.url), [FLAG, JSON.stringify(options)], {
    execArgv: loaderArguments(process.execArgv),
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    timeout: options.timeout ?? 60_000,
    killSignal: 'SIGKILL',
  });
  let findings: NativeFindings = {};
  let stderr = '';
  child.on('message', (message) => {
    findings = { ...findings, ...(message as NativeFindings) };
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-2000);
  });
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on('error', (error) => {
      stderr += error.message;
      resolve([-1, null]);
    });
    child.on('close', (...ending) => resolve(ending));
  });
  const step = STEP_NAMES.find((name) => !(name in findings));
  if (step === undefined || findings.failure !== undefined) return findings;
  const ending = signal === null ? `ended with status ${status}` : `was ended by ${signal}`;
  const message = [`the process that loads the native files ${ending}`, stderr.trim()]
    .filter(Boolean)
    .join(': ');
  return { ...findings, failure: { step, message } };
}

/**
 * Of the arguments that Node itself was started with, those that load TypeScript, which only the sources of
 * this package need. Others must not be passed on: `-e` would run the whole program of the caller again.
 */
function loaderArguments(given: readonly string[]): string[] {
  if (EXTENSION !== '.ts') return [];
  return given.flatMap((argument, index) =>
    argument === '--import'
      ? [argument, given[index + 1] ?? '']
      : argument.startsWith('--import=')
        ? [argument]
        : [],
  );
}

/** The other side: runs in the process that {@link probeNative} starts. */
async function runProbe(options: ProbeOptions): Promise<void> {
  const address = options.module ?? new URL(`../native${EXTENSION}`, import.meta.url).href;
  const native = (await import(address)) as ProbedModule;
  for (const step of STEP_NAMES) {
    try {
      await send({ [step]: STEPS[step](native, options) });
    } catch (error) {
      await send({ failure: { step, message: (error as Error).message } });
      return;
    }
  }
}

/** Waits until the message is written: a crash in the next step must not swallow it. */
function send(findings: NativeFindings): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(findings, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}

if (process.send !== undefined && process.argv[2] === FLAG) {
  runProbe(JSON.parse(process.argv[3] ?? '{}') as ProbeOptions).catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
