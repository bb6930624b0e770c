/** The benchmark itself: proves that all sides compute the same, then lets them work in turn. */
import path from 'node:path';
import { waitForQuiet } from '../scripts/full-check/meter.ts';
import { readFamily } from '../test/support/family.ts';
import { runDemo } from './demo.ts';
import { chooseReference, type Kept, type Proof, prove } from './equality.ts';
import type { Flags } from './flags.ts';
import type { Answer, Work } from './job.ts';
import { MEASURE_NAMES, MEASURES, type Measure, measuresOf, needs, tasksOf } from './measures.ts';
import { GUIDANCE_BATCH } from './model.ts';
import { unetOperations } from './operations.ts';
import type { BenchResult, SideResult } from './results.ts';
import { ourSide, type PeerName, peerSide, type Side } from './sides.ts';
import { summarise, type Value } from './statistics.ts';
import { type Programs, runTurn, type TurnRequest } from './turns.ts';
import { circumstances } from './work.ts';

/** Steps of the clips that are compared: errors grow over steps, and two show whether the scheduler agrees. */
const PROOF_STEPS = 2;

export interface Bench {
  readonly flags: Flags;
  readonly work: Work;
  readonly programs: Programs;
  readonly peers: readonly PeerName[];
  /** Folder for jobs and answers. */
  readonly folder: string;
  readonly say: (text: string) => void;
}

/** A side and everything that it answered. */
interface Entry {
  readonly side: Side;
  dtype: SideResult['dtype'];
  versions: SideResult['versions'];
  weights: number;
  readonly values: Map<Measure, Value[]>;
}

/** The sides did not compute the same. */
export class Unequal extends Error {}

function add(entry: Entry, values: Answer['values'], wanted: readonly Measure[]): void {
  for (const name of wanted) {
    const list = values[name];
    if (list !== undefined) entry.values.set(name, [...(entry.values.get(name) ?? []), ...list]);
  }
}

function take(entry: Entry, answer: Answer): void {
  entry.dtype = answer.dtype;
  entry.versions = { ...entry.versions, ...answer.versions };
  entry.weights = answer.weights;
}

class Rounds {
  readonly #bench: Bench;
  readonly #measures: readonly Measure[];
  accelerator: string | undefined;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#measures = measuresOf(bench.flags.only);
  }

  async #turn(side: Side, name: string, request: Omit<TurnRequest, 'out'>, work: Work): Promise<Answer> {
    const { folder, programs, say } = this.#bench;
    say(`${name}: ${side.name}`);
    const out = path.join(folder, `${name}-${side.name}`.replaceAll(' ', '-'));
    const answer = await runTurn(side, work, { ...request, out }, programs);
    this.accelerator ??= answer.accelerator;
    return answer;
  }

  /** One UNet call and one short clip of a side, with their tensors kept. */
  async prove(side: Side): Promise<{ readonly entry: Entry; readonly kept?: Kept }> {
    const work = { ...this.#bench.work, steps: Math.min(PROOF_STEPS, this.#bench.work.steps), calls: 1 };
    const comparable = side.runner !== 'sdcpp';
    const tasks = ['unet', 'clip'] as const;
    const answer = comparable ? await this.#turn(side, 'proof', { tasks, keep: true }, work) : undefined;
    const dtype = answer?.dtype ?? 'float16';
    // `auto` is known by what it was resolved to.
    const named: Side = side.dtype === 'auto' ? { ...ourSide(dtype) } : side;
    const entry: Entry = { side: named, dtype, versions: {}, weights: 0, values: new Map() };
    if (answer !== undefined) take(entry, answer);
    const out = path.join(this.#bench.folder, `proof-${side.name}`);
    return { entry, ...(comparable && { kept: { side: named.name, dtype, out } }) };
  }

  async round(entry: Entry, number: number): Promise<void> {
    await this.#warm(entry, number);
    const { runner, mode } = entry.side;
    // A warm run of stable-diffusion.cpp gives all that it tells. Compiling takes minutes each time.
    if (runner !== 'sdcpp' && (mode === 'eager' || number === 1)) await this.#fresh(entry, number);
  }

  async #warm(entry: Entry, number: number): Promise<void> {
    const tasks = tasksOf(this.#measures);
    if (tasks.length === 0) return;
    const answer = await this.#turn(entry.side, `round ${number}`, { tasks }, this.#bench.work);
    take(entry, answer);
    const whole = entry.side.runner === 'sdcpp';
    add(
      entry,
      answer.values,
      this.#measures.filter((name) => whole || MEASURES[name].from !== 'fresh'),
    );
  }

  async #fresh(entry: Entry, number: number): Promise<void> {
    if (!needs(this.#measures, 'fresh')) return;
    const { work } = this.#bench;
    // A process that is timed from its start waits for nothing, so that this one does.
    await waitForQuiet(work.patience);
    const request = { tasks: ['clip'] as const, fresh: true };
    const alone = { ...work, steps: 1, patience: 0 };
    const answer = await this.#turn(entry.side, `fresh ${number}`, request, alone);
    add(
      entry,
      answer.values,
      this.#measures.filter((name) => MEASURES[name].from === 'fresh'),
    );
  }

  /** Of this package in its own element type, and of diffusers with its defaults. */
  async demo(entry: Entry, number: number): Promise<void> {
    const { folder, programs, work, say } = this.#bench;
    await waitForQuiet(work.patience);
    say(`demo ${number}: ${entry.side.name}`);
    const out = path.join(folder, `demo-${number}-${entry.side.name}`);
    add(entry, { demo: [await runDemo(entry.side, { threads: work.threads, out }, programs)] }, ['demo']);
  }

  get withDemo(): boolean {
    return needs(this.#measures, 'demo');
  }
}

async function proveAll(rounds: Rounds, { flags, peers }: Bench) {
  const entries: Entry[] = [];
  const kept: Kept[] = [];
  const admit = async (side: Side) => {
    const proven = await rounds.prove(side);
    entries.push(proven.entry);
    if (proven.kept !== undefined) kept.push(proven.kept);
  };
  for (const dtype of flags.dtype) await admit(ourSide(dtype));
  const dtype = entries[0]?.dtype ?? 'float32';
  for (const name of peers) await admit(peerSide(name, dtype));
  const reference = chooseReference(kept);
  return { entries, proofs: reference === undefined ? [] : prove(kept, reference) };
}

function requireEqual(proofs: readonly Proof[]): void {
  const failed = proofs.filter(({ holds }) => !holds);
  if (failed.length === 0) return;
  const lines = failed.map(
    ({ side, reference, tensor, difference, tolerance }) =>
      `${tensor} of ${side} differs from ${reference} by ${difference.relative.toExponential(2)}, more than ${tolerance}`,
  );
  throw new Unequal(`Outputs are not equal, so times are not compared: ${lines.join('; ')}.`);
}

function sideResult({ side, dtype, versions, weights, values }: Entry): SideResult {
  const summaries = MEASURE_NAMES.flatMap((name) => {
    const summary = summarise(values.get(name));
    return summary === undefined ? [] : [[name, summary] as const];
  });
  return { name: side.name, dtype, versions, weights, summaries: Object.fromEntries(summaries) };
}

function guidedOperations({ family, size, frames, latentScale }: Work): number {
  return unetOperations(readFamily(family), { batch: GUIDANCE_BATCH, frames, side: size / latentScale });
}

/** @throws Unequal */
export async function runBenchmark(bench: Bench): Promise<BenchResult> {
  const rounds = new Rounds(bench);
  const { entries, proofs } = await proveAll(rounds, bench);
  requireEqual(proofs);
  const demo = entries.filter(
    ({ side }, index) => index === 0 || (side.runner === 'diffusers' && side.name === 'diffusers'),
  );
  for (let number = 1; number <= bench.flags.rounds; number += 1) {
    for (const entry of entries) await rounds.round(entry, number);
    if (rounds.withDemo) for (const entry of demo) await rounds.demo(entry, number);
  }
  return {
    kind: 'bench',
    parts: bench.flags.only,
    stepOperations: guidedOperations(bench.work),
    ...circumstances(bench.work, bench.flags.rounds, rounds.accelerator),
    proofs,
    sides: entries.map(sideResult),
  };
}
