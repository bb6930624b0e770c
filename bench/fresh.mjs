/**
 * A process of this package as a user starts one: node bench/fresh.mjs JOB.json. It loads, makes one clip by the
 * public interface, and ends. Plain JavaScript on the compiled package, since a compiler would count as start-up.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { AnimateDiff } from '../dist/index.js';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { checkpoint: base, motionModule, dtype, compat, threads, device } = job;
const { prompt, negativePrompt, size, frames, batch, steps, guidanceScale, seed } = job;

const started = performance.now();
const pipe = await AnimateDiff.load({ base, motionModule, dtype, compat, threads, device });
const load = (performance.now() - started) / 1000;

/** Seconds since 1970 at which the text was encoded, and each step was done. */
let begun;
const marks = [];
await pipe.generate({
  prompt: Array.from({ length: batch }, () => prompt),
  seed: Array.from({ length: batch }, (_, index) => BigInt(seed) + BigInt(index)),
  ...{ negativePrompt, frames, steps, guidanceScale, width: size, height: size, promptSyntax: 'plain' },
  onProgress: ({ phase, step }) => {
    if (step === 0) return;
    if (phase === 'text') begun = Date.now() / 1000;
    if (phase === 'sample') marks.push(Date.now() / 1000);
  },
});
const done = Date.now() / 1000;
const { weights, devicePeak } = await pipe.memory();
const { dtype: used, libtorch } = pipe.info;
await pipe.close();

const { user, system } = process.cpuUsage();
const answer = {
  versions: { libtorch: libtorch.version, node: process.versions.node },
  ...{ threads, dtype: used, weights, cpu: (user + system) / 1e6, firstStep: { begun, done: marks[0] } },
  values: {
    load: [{ value: load }],
    step: marks.slice(1).map((mark, index) => ({ value: mark - marks[index] })),
    decode: [{ value: done - marks.at(-1) }],
    hostPeak: [{ value: process.resourceUsage().maxRSS * 1024 }],
    ...(device !== 'cpu' && { devicePeak: [{ value: devicePeak }] }),
  },
};
writeFileSync(path.join(job.out, 'answer.json'), JSON.stringify(answer));
