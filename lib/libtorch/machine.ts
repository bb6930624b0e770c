/** What the processor and the memory of this machine offer, for reports. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import process from 'node:process';

/** The processor. */
export interface Cpu {
  readonly model: string;
  /** Physical cores. */
  readonly cores: number;
  /** Hardware threads that this process may use. */
  readonly threads: number;
  /** Instruction sets that matter for networks, such as `AVX2`. */
  readonly features: readonly string[];
}

/** Main memory in bytes, within the limit of a container. */
export interface Memory {
  readonly total: number;
  readonly available: number;
}

/** Flags of the kernel's list, and the names that manuals use. */
const FEATURES: readonly (readonly [flag: string, name: string])[] = [
  ['avx2', 'AVX2'],
  ['avx512f', 'AVX-512'],
  ['avx512_bf16', 'AVX-512 BF16'],
  ['avx512_fp16', 'AVX-512 FP16'],
  ['amx_bf16', 'AMX BF16'],
  ['asimd', 'NEON'],
  ['sve', 'SVE'],
  ['bf16', 'BF16'],
];

/** Describes the processor; `cpuinfo` is the text of /proc/cpuinfo. */
export function describeCpu(cpuinfo: string = readCpuinfo()): Cpu {
  const processors = cpuinfo
    .split('\n\n')
    .map(readFields)
    .filter((fields) => fields.has('processor'));
  const threads = os.availableParallelism();
  const places = new Set(
    processors
      .filter((fields) => fields.has('core id'))
      .map((fields) => `${fields.get('physical id')}/${fields.get('core id')}`),
  );
  const first = processors[0];
  const flags = new Set((first?.get('flags') ?? first?.get('Features') ?? '').split(' '));
  return {
    model: first?.get('model name') ?? os.cpus()[0]?.model ?? 'unknown',
    cores: places.size || processors.length || threads,
    threads,
    features: FEATURES.filter(([flag]) => flags.has(flag)).map(([, name]) => name),
  };
}

/** Memory that this process can count on. */
export function describeMemory(): Memory {
  const limit = process.constrainedMemory();
  const total = os.totalmem();
  // Without a limit the kernel names one that is larger than the machine.
  const bounded = limit > 0 && limit < total ? limit : total;
  return { total: bounded, available: Math.min(process.availableMemory(), bounded) };
}

function readFields(block: string): ReadonlyMap<string, string> {
  const pairs = block.split('\n').map((line) => line.split(/\s*:\s*/, 2));
  return new Map(pairs.map(([key = '', value = '']) => [key.trim(), value.trim()]));
}

function readCpuinfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}
