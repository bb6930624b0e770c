/**
 * Clips in one warm process, from the prompt to frames in JavaScript: the times that a server sees.
 *
 *   npx tsx bench/clips.ts --folder FOLDER [--device cuda] [--memory auto] [--dtype auto] [--family sd15] [--calls 3]
 *       [--clips 512:25:7.5,256:25:7.5,512:4:1]     size : steps : guidance scale
 *
 * Random weights in the real layouts, written to the folder unless they are there. One line of JSON for each clip.
 */
import { parseArgs } from 'node:util';
import { AnimateDiff } from '../lib/animatediff.ts';
import type { LoadOptions } from '../lib/options.ts';
import type { FamilyName } from '../test/support/family.ts';
import { writeModel } from './model.ts';

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: '/tmp/bench-sd15' },
    device: { type: 'string', default: 'cuda' },
    memory: { type: 'string', default: 'auto' },
    dtype: { type: 'string', default: 'auto' },
    family: { type: 'string', default: 'sd15' },
    frames: { type: 'string', default: '16' },
    calls: { type: 'string', default: '3' },
    clips: { type: 'string', default: '512:25:7.5,256:25:7.5,512:4:1' },
  },
});

const seconds = (begun: number) => Math.round(performance.now() - begun) / 1000;
const median = (list: number[]) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
const files = writeModel(values.folder, values.family as FamilyName);
const began = performance.now();
const pipe = await AnimateDiff.load({
  ...{ base: files.checkpoint, motionModule: files.motionModule },
  ...({ device: values.device, memory: values.memory, dtype: values.dtype } as LoadOptions),
});
console.log(JSON.stringify({ name: 'load', seconds: seconds(began), dtype: pipe.info.dtype }));

async function clip(size: number, steps: number, guidanceScale: number) {
  const begun = performance.now();
  let firstFrame = 0;
  const marks: number[] = [];
  const made = await pipe.generate({
    ...{ prompt: 'a paper boat on a pond, sunset', negativePrompt: 'blurry', seed: 1n, steps, guidanceScale },
    ...{ width: size, height: size, frames: Number(values.frames) },
    onProgress: ({ phase, step }) => {
      if (phase === 'sample' && step > 0) marks.push(performance.now());
    },
    onFrame: () => {
      firstFrame ||= seconds(begun);
    },
  });
  return {
    ...{ seconds: seconds(begun), firstFrame, marks, bytes: made.data.length },
    decode: Math.round(performance.now() - (marks.at(-1) ?? begun)) / 1000,
  };
}

for (const wanted of values.clips.split(',')) {
  const [size = 512, steps = 25, guidance = 7.5] = wanted.split(':').map(Number);
  const cold = await clip(size, steps, guidance);
  const warm = [];
  for (let call = 0; call < Number(values.calls); call += 1) warm.push(await clip(size, steps, guidance));
  const gaps = warm.flatMap(({ marks }) =>
    marks.slice(1).map((mark, index) => mark - (marks[index] ?? mark)),
  );
  const { devicePeak, deviceHeld, weights } = await pipe.memory();
  console.log(
    JSON.stringify({
      name: `clip ${size} ${steps} steps guidance ${guidance}`,
      ...{ cold: cold.seconds, seconds: median(warm.map((one) => one.seconds)) },
      step: Number((median(gaps) ?? Number.NaN).toFixed(2)),
      ...{
        decode: median(warm.map((one) => one.decode)),
        firstFrame: median(warm.map((one) => one.firstFrame)),
      },
      ...{ devicePeak, deviceHeld, weights },
    }),
  );
}
await pipe.close();
