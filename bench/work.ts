/** From flags to the work that all sides do, and to where and with what it is done. */
import os from 'node:os';
import { type FamilyName, readFamily } from '../test/support/family.ts';
import type { Flags } from './flags.ts';
import type { Shape, Work } from './job.ts';
import { commit, hardware } from './machine.ts';
import { latentScale, writeInputs, writeModel } from './model.ts';
import type { Circumstances } from './results.ts';

const CLIP = {
  prompt: 'a paper boat on a pond, golden hour',
  negativePrompt: 'blurry, low quality',
  seed: '10788741199826055526',
  guidanceScale: 7.5,
} as const;

export interface WorkShape extends Shape {
  readonly threads: number;
}

/** The shape of a benchmark, and the base of curves: the usual value where it is among those of the list. */
export function baseShape(flags: Pick<Flags, 'size' | 'frames' | 'batch' | 'threads' | 'steps'>): WorkShape {
  const usual = (values: readonly number[], value: number) =>
    values.includes(value) ? value : (values[0] ?? value);
  return {
    size: usual(flags.size, 256),
    frames: usual(flags.frames, 16),
    batch: usual(flags.batch, 1),
    threads: Math.max(...flags.threads),
    steps: flags.steps,
  };
}

/** Writes what the work needs into a folder. */
export function prepareWork(folder: string, flags: Flags, shape: WorkShape): Work {
  const { family, device, compat, calls, patience } = flags;
  return {
    ...writeModel(folder, family),
    ...CLIP,
    ...shape,
    ...{ family, device, compat, calls, patience },
    latentScale: latentScale(readFamily(family)),
    inputs: writeInputs(folder, family, shape),
  };
}

/** @param accelerator name of the device, where it is not the CPU */
export function circumstances(work: Work, rounds: number, accelerator?: string): Circumstances {
  const { checkpoint, motionModule, loras, inputs, prompt, negativePrompt, ...settings } = work;
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    hardware: hardware(accelerator),
    settings: { ...settings, rounds },
  };
}

/** Bytes that the model takes on disk and that a side may take in memory, for a word of warning. */
export function warnings(family: FamilyName): readonly string[] {
  if (family !== 'sd15' || os.totalmem() > 16e9) return [];
  return ['The real sizes need some 14 GB of memory; diffusers in float32 loads 12.'];
}
