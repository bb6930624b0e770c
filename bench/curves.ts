/** Cost against work: one dimension at a time is changed, and every point is a process of its own. */
import path from 'node:path';
import { waitForQuiet } from '../scripts/full-check/meter.ts';
import { type Family, readFamily } from '../test/support/family.ts';
import type { Flags } from './flags.ts';
import type { Answer, Work } from './job.ts';
import { GUIDANCE_BATCH } from './model.ts';
import { decodeOperations, unetOperations } from './operations.ts';
import { type CurvePoint, type CurvesResult, SWEEPS, type Sweep } from './results.ts';
import { ourSide } from './sides.ts';
import { type Summary, summarise, type Value } from './statistics.ts';
import { runTurn } from './turns.ts';
import { circumstances } from './work.ts';

/** The first step pays for what is computed once, and does not count. */
const STEPS = 3;

export interface Curves {
  readonly flags: Flags;
  readonly work: Work;
  readonly folder: string;
  readonly say: (text: string) => void;
}

function required(summary: Summary | undefined): Summary {
  if (summary === undefined) throw new Error('A process gave no values.');
  return summary;
}

function point(work: Work, family: Family, answers: readonly Answer[]): CurvePoint {
  const { size, frames, batch, steps, threads, latentScale } = work;
  const side = size / latentScale;
  const values = (name: 'step' | 'decode' | 'hostPeak' | 'devicePeak'): readonly Value[] =>
    answers.flatMap((answer) => answer.values[name] ?? []);
  return {
    ...{ size, frames, batch, steps, threads },
    stepOperations: unetOperations(family, { batch: GUIDANCE_BATCH * batch, frames, side }),
    decodeOperations: decodeOperations(family, { images: batch * frames, side }),
    step: required(summarise(values('step'))),
    decode: required(summarise(values('decode'))),
    hostPeak: required(summarise(values('hostPeak'))),
    devicePeak: summarise(values('devicePeak')),
    weights: answers[0]?.weights ?? 0,
  };
}

/** Measures points, each shape once however many sweeps go through it. */
class Points {
  readonly #curves: Curves;
  readonly #family: Family;
  readonly #known = new Map<string, CurvePoint>();
  last: Answer | undefined;

  constructor(curves: Curves) {
    this.#curves = curves;
    this.#family = readFamily(curves.work.family);
  }

  async at(work: Work): Promise<CurvePoint> {
    const { size, frames, batch, threads } = work;
    const name = `${size}x${size}, ${frames} frames, batch ${batch}, ${threads} threads`;
    const known = this.#known.get(name) ?? (await this.#measure(work, name));
    this.#known.set(name, known);
    return known;
  }

  async #measure(work: Work, name: string): Promise<CurvePoint> {
    const { flags, folder, say } = this.#curves;
    say(name);
    const answers: Answer[] = [];
    for (let round = 0; round < flags.rounds; round += 1) {
      const out = path.join(folder, name.replaceAll(/[ ,]+/g, '-'));
      const request = { tasks: ['clip'] as const, fresh: true, out };
      await waitForQuiet(work.patience);
      answers.push(await runTurn(ourSide(flags.dtype[0] ?? 'auto'), work, request, {}));
    }
    this.last = answers.at(-1);
    return point(work, this.#family, answers);
  }
}

/** Sweeps of one point say nothing, and are left out. */
export async function runCurves(curves: Curves): Promise<CurvesResult> {
  const work = { ...curves.work, steps: STEPS };
  const points = new Points(curves);
  const sweeps: Partial<Record<Sweep, CurvePoint[]>> = {};
  for (const sweep of SWEEPS) {
    const values = curves.flags[sweep];
    if (values.length < 2) continue;
    const measured: CurvePoint[] = [];
    for (const value of values) measured.push(await points.at({ ...work, [sweep]: value }));
    sweeps[sweep] = measured;
  }
  const { last } = points;
  if (last === undefined)
    throw new Error('Expected several values of --frames, --size, --batch or --threads.');
  return {
    kind: 'curves',
    ...circumstances(work, curves.flags.rounds, last.accelerator),
    dtype: last.dtype,
    versions: last.versions,
    sweeps,
  };
}
