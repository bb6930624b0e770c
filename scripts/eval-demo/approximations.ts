/**
 * What the approximations of `generate` cost and save on the demo model:
 *
 *   node --import tsx scripts/eval-demo/approximations.ts [--clips 6]
 *
 * Peak signal-to-noise ratio of the frames against the exact run of the same seeds, and seconds of a clip as a ratio to
 * the exact one in the same round. `npm run eval:demo -- --deep-cache 3` tells what the judge says of them.
 */
import { parseArgs } from 'node:util';
import type { GenerateOptions } from '../../lib/index.ts';
import { caption, selectTasks } from './captions.ts';
import { openModel, readModel } from './model.ts';

type Approximation = Pick<GenerateOptions, 'guidanceEnd' | 'deepCache'>;

const TRIED: readonly Approximation[] = [
  { guidanceEnd: 0.8 },
  { guidanceEnd: 0.6 },
  { deepCache: 2 },
  { deepCache: 3 },
  { deepCache: 5 },
  { deepCache: 3, guidanceEnd: 0.8 },
];

/** Decibels, for values of 0–255. */
function psnr(actual: Uint8Array, exact: Uint8Array): number {
  const error = actual.reduce((sum, value, i) => sum + (value - (exact[i] ?? 0)) ** 2, 0) / actual.length;
  return 10 * Math.log10(255 ** 2 / error);
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

const { values } = parseArgs({ options: { clips: { type: 'string', default: '6' } } });
const model = await readModel('demo.yaml');
await using pipe = await openModel(model);

async function make(prompt: string, seed: number, approximation: Approximation) {
  const start = performance.now();
  const { data } = await pipe.generate({ ...model.settings, prompt, seed, ...approximation });
  return { data, seconds: (performance.now() - start) / 1000 };
}

const results = TRIED.map((approximation) => ({
  approximation,
  decibels: [] as number[],
  ratios: [] as number[],
}));
for (const task of selectTasks(Number(values.clips))) {
  const [prompt, seed] = [caption(task), task.seed];
  await make(prompt, seed, {});
  const exact = await make(prompt, seed, {});
  for (const { approximation, decibels, ratios } of results) {
    const clip = await make(prompt, seed, approximation);
    decibels.push(psnr(clip.data, exact.data));
    ratios.push(exact.seconds / clip.seconds);
  }
}
console.log(`${values.clips} clips of the demo model, ${pipe.info.dtype} on ${pipe.info.device}`);
for (const { approximation, decibels, ratios } of results) {
  const range = `${mean(decibels).toFixed(1)} dB (${Math.min(...decibels).toFixed(1)} to ${Math.max(...decibels).toFixed(1)})`;
  console.log(`${JSON.stringify(approximation)}\t${range}\t${mean(ratios).toFixed(2)}x`);
}
