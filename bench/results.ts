/** Result files: `bench/results/bench-2026-01-31-cpu.json`. Paths and host names stay out of them. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { EngineDtype } from '../lib/load.ts';
import type { Proof } from './equality.ts';
import type { Shape, Work } from './job.ts';
import type { Hardware } from './machine.ts';
import type { Measure } from './measures.ts';
import type { Summary } from './statistics.ts';
import { ROOT } from './turns.ts';

export const RESULTS = path.join(ROOT, 'bench', 'results');

/** Where and with what it was measured. */
export interface Circumstances {
  /** ISO date. */
  readonly date: string;
  readonly commit?: string;
  readonly hardware: Hardware;
  readonly settings: Omit<
    Work,
    'checkpoint' | 'motionModule' | 'loras' | 'inputs' | 'prompt' | 'negativePrompt'
  > & { readonly rounds: number };
}

export interface SideResult {
  readonly name: string;
  readonly dtype: EngineDtype;
  readonly versions: Readonly<Record<string, string>>;
  /** Bytes of the weights as they lie in memory. */
  readonly weights: number;
  readonly summaries: Readonly<Partial<Record<Measure, Summary>>>;
}

export interface BenchResult extends Circumstances {
  readonly kind: 'bench';
  /** What was measured, as `--only` names it. */
  readonly parts: readonly string[];
  /** Floating-point operations of one guided UNet call of one clip. */
  readonly stepOperations: number;
  /** Empty when this package ran alone in one element type. */
  readonly proofs: readonly Proof[];
  /** This package first. */
  readonly sides: readonly SideResult[];
}

/** One shape of the work, measured in a process of its own. */
export interface CurvePoint extends Shape {
  readonly threads: number;
  /** Floating-point operations of one guided UNet call, and of decoding all frames. */
  readonly stepOperations: number;
  readonly decodeOperations: number;
  readonly step: Summary;
  readonly decode: Summary;
  readonly hostPeak: Summary;
  readonly devicePeak?: Summary;
  readonly weights: number;
}

/** The dimension of a sweep; all others stay as the settings say. */
export const SWEEPS = ['frames', 'size', 'batch', 'threads'] as const;
export type Sweep = (typeof SWEEPS)[number];

export interface CurvesResult extends Circumstances {
  readonly kind: 'curves';
  readonly dtype: EngineDtype;
  readonly versions: Readonly<Record<string, string>>;
  readonly sweeps: Readonly<Partial<Record<Sweep, readonly CurvePoint[]>>>;
}

export type Result = BenchResult | CurvesResult;

/** A second result of a day gets a number: what was measured is not written over. */
function newFile({ kind, date, settings }: Result): string {
  for (let count = 1; ; count += 1) {
    const suffix = count === 1 ? '' : `-${count}`;
    const file = path.join(RESULTS, `${kind}-${date}-${settings.device}${suffix}.json`);
    if (!existsSync(file)) return file;
  }
}

/** Returns the path of the file. */
export function writeResult(result: Result, out?: string): string {
  const file = out === undefined ? newFile(result) : path.resolve(out);
  writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
  return file;
}

/** All results of one kind in a folder, the oldest first. */
export function readResults<Kind extends Result['kind']>(
  kind: Kind,
  folder = RESULTS,
): readonly { readonly file: string; readonly result: Extract<Result, { kind: Kind }> }[] {
  const number = (name: string) =>
    Number(/-(\d+)\.json$/.exec(name.replace(/^\w+-\d{4}-\d\d-\d\d/, ''))?.[1] ?? 1);
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${kind}-`) && name.endsWith('.json'))
    .sort(
      (a, b) =>
        a.slice(0, kind.length + 11).localeCompare(b.slice(0, kind.length + 11)) || number(a) - number(b),
    )
    .map((name) => ({
      file: name,
      result: JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as Extract<Result, { kind: Kind }>,
    }));
}
