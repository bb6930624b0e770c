/** One clip in a process of its own, since peaks are those of a process: what it took, and how it was made to fit. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { AnimateDiff, type PipelineMemory } from '../../lib/animatediff.ts';
import type { AnimateDiffError } from '../../lib/errors.ts';
import type { Notice } from '../../lib/events.ts';
import { limitHostMemory } from '../../lib/native.ts';
import type { GenerateOptions, LoadOptions } from '../../lib/options.ts';
import { readJob } from './process.ts';

export interface MemoryJob {
  readonly load: LoadOptions;
  readonly clip: GenerateOptions & { readonly prompt: string };
  /** File for the frames. */
  readonly frames: string;
  /** On the host, beyond what the weights take, while the clip is made; and then a clip without. */
  readonly hostLimit?: number;
}

export interface MemoryAnswer {
  readonly memory: PipelineMemory;
  readonly notices: readonly Notice[];
  readonly seconds: number;
  readonly sha256?: string;
  readonly error?: { readonly code: string; readonly message: string };
  /** A small clip could be made after an error. */
  readonly usableAfterwards?: boolean;
}

const job = readJob<MemoryJob>();
await using pipe = await AnimateDiff.load(job.load);
if (job.hostLimit !== undefined) limitHostMemory((await pipe.memory()).hostHeld + job.hostLimit);
const begun = performance.now();
const made = await pipe.generate(job.clip).catch((error: AnimateDiffError) => error);
const seconds = (performance.now() - begun) / 1000;
const memory = await pipe.memory();
const facts = { memory, notices: pipe.notices.filter(({ code }) => code.startsWith('memory-')), seconds };
let answer: MemoryAnswer;
if (made instanceof Error) {
  const error = { code: made.code, message: made.message };
  // A device keeps its limit, and a small clip fits into it.
  limitHostMemory(0);
  const small = { ...job.clip, width: 64, height: 64, frames: 2 };
  const usableAfterwards = await pipe.generate(small).then(
    ({ frameCount }) => frameCount === 2,
    () => false,
  );
  answer = { ...facts, error, usableAfterwards };
} else {
  writeFileSync(job.frames, made.data);
  answer = { ...facts, sha256: createHash('sha256').update(made.data).digest('hex') };
}
console.log(JSON.stringify(answer));
