/**
 * The work of one sampling step of the tiny model in float32. As a program, which takes the guidance, it prints that as
 * JSON: a process of its own may have other instructions left out.
 */
import { fileURLToPath } from 'node:url';
import type { AnimateDiff } from '../../lib/animatediff.ts';
import { countWork } from '../../lib/native.ts';
import type { GenerateOptions } from '../../lib/options.ts';
import { loadTiny, SMALL } from './pipeline.ts';

export interface StepWork {
  readonly operators: number;
  readonly bytes: number;
}

export async function countClip(pipe: AnimateDiff, options: Partial<GenerateOptions>) {
  countWork(true);
  await pipe.generate({ ...SMALL, ...options });
  return countWork(false);
}

/** The difference between clips of three and of two steps is one step, whatever is computed once. */
export async function countStep(guidanceScale: number): Promise<StepWork> {
  await using pipe = await loadTiny({ dtype: 'float32' });
  // The first clip also specialises what depends on shapes.
  await pipe.generate({ ...SMALL, guidanceScale });
  const two = await countClip(pipe, { steps: 2, guidanceScale });
  const three = await countClip(pipe, { steps: 3, guidanceScale });
  return { operators: three.operators - two.operators, bytes: three.bytes - two.bytes };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(JSON.stringify(await countStep(Number(process.argv[2]))));
}
