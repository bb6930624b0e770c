/** The command line of the benchmark. `bench/README.md` explains it. */
import os from 'node:os';
import type { EngineDtype } from '../lib/load.ts';
import type { Compat } from '../lib/options.ts';
import type { FamilyName } from '../test/support/family.ts';
import { PARTS } from './measures.ts';
import { PEERS, type PeerName } from './sides.ts';
import { parseFlags, UsageError } from './usage.ts';

const OPTIONS = {
  device: { type: 'string', default: 'cpu' },
  family: { type: 'string', default: 'sd15' },
  size: { type: 'string' },
  frames: { type: 'string' },
  batch: { type: 'string' },
  steps: { type: 'string', default: '4' },
  threads: { type: 'string' },
  dtype: { type: 'string', default: 'auto' },
  compat: { type: 'string', default: 'diffusers' },
  against: { type: 'string', default: 'diffusers,diffusers-bf16,compile' },
  sdcpp: { type: 'string' },
  only: { type: 'string', default: PARTS.join(',') },
  rounds: { type: 'string', default: '2' },
  calls: { type: 'string', default: '2' },
  patience: { type: 'string', default: '30' },
  folder: { type: 'string' },
  python: { type: 'string' },
  out: { type: 'string' },
  curves: { type: 'boolean', default: false },
  report: { type: 'boolean', default: false },
} as const;

export interface Flags {
  readonly action: 'bench' | 'curves' | 'report';
  readonly device: 'cpu' | 'cuda';
  readonly family: FamilyName;
  /** Lists are for curves; a benchmark has one of each. */
  readonly size: readonly number[];
  readonly frames: readonly number[];
  readonly batch: readonly number[];
  readonly threads: readonly number[];
  readonly steps: number;
  readonly dtype: readonly (EngineDtype | 'auto')[];
  /** Stock diffusers by default, since its users have no other; with `original` its norms are replaced. */
  readonly compat: Compat;
  readonly against: readonly PeerName[];
  /** Path of stable-diffusion.cpp's `sd-cli`. */
  readonly sdcpp?: string;
  readonly only: readonly string[];
  readonly rounds: number;
  readonly calls: number;
  readonly patience: number;
  readonly folder?: string;
  readonly python?: string;
  readonly out?: string;
}

const words = (text: string): readonly string[] => text.split(',').filter((word) => word !== '');

function choices<T extends string>(flag: string, text: string, allowed: readonly T[]): readonly T[] {
  return words(text).map((word) => {
    const found = allowed.find((choice) => choice === word);
    if (found === undefined)
      throw new UsageError(`Expected --${flag} to be of ${allowed.join(', ')}, got '${word}'.`);
    return found;
  });
}

function choice<T extends string>(flag: string, text: string, allowed: readonly T[]): T {
  const [found, another] = choices(flag, text, allowed);
  if (found === undefined || another !== undefined)
    throw new UsageError(`Expected one of ${allowed.join(', ')} for --${flag}, got '${text}'.`);
  return found;
}

function counts(flag: string, text: string): readonly number[] {
  const values = words(text).map(Number);
  if (values.length === 0 || !values.every((value) => Number.isSafeInteger(value) && value > 0))
    throw new UsageError(`Expected positive integers for --${flag}, got '${text}'.`);
  return values;
}

function count(flag: string, text: string): number {
  const [value, another] = counts(flag, text);
  if (value === undefined || another !== undefined)
    throw new UsageError(`Expected one positive integer for --${flag}, got '${text}'.`);
  return value;
}

/** 1, 2, 4 … up to all cores. */
function threadCounts(cores: number): readonly number[] {
  const powers = Array.from({ length: Math.floor(Math.log2(cores)) + 1 }, (_, power) => 2 ** power);
  return [...new Set([...powers, cores])];
}

/** Values that curves run over, and those of a benchmark. */
function shapeDefaults(curves: boolean, cores: number) {
  return curves
    ? { size: '128,256,384,512', frames: '8,16,24,32', batch: '1,2', threads: threadCounts(cores).join(',') }
    : { size: '256', frames: '16', batch: '1', threads: String(cores) };
}

/** @throws UsageError */
export function readFlags(args: readonly string[], cores = os.availableParallelism()): Flags {
  const values = parseFlags(args, OPTIONS, 'bench/README.md');
  const action = values.report ? 'report' : values.curves ? 'curves' : 'bench';
  const defaults = shapeDefaults(action === 'curves', cores);
  const list = (flag: keyof typeof defaults) => {
    const text = values[flag] ?? defaults[flag];
    return action === 'curves' ? counts(flag, text) : [count(flag, text)];
  };
  const against = values.against === 'none' ? [] : choices('against', values.against, PEERS);
  if (against.includes('sdcpp') && values.sdcpp === undefined)
    throw new UsageError('Expected --sdcpp PATH with the peer sdcpp.');
  const asked = values.sdcpp === undefined || against.includes('sdcpp');
  const { sdcpp, folder, python, out } = values;
  return {
    action,
    device: choice('device', values.device, ['cpu', 'cuda']),
    family: choice('family', values.family, ['sd15', 'demo', 'tiny']),
    size: list('size'),
    frames: list('frames'),
    batch: list('batch'),
    threads: list('threads'),
    steps: count('steps', values.steps),
    dtype: choices('dtype', values.dtype, ['auto', 'float32', 'bfloat16', 'float16']),
    compat: choice('compat', values.compat, ['diffusers', 'original']),
    against: asked ? against : [...against, 'sdcpp'],
    only: choices('only', values.only, PARTS),
    rounds: count('rounds', values.rounds),
    calls: count('calls', values.calls),
    patience: values.patience === '0' ? 0 : count('patience', values.patience),
    ...{ sdcpp, folder, python, out },
  };
}
