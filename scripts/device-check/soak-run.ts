/** Clips in a row in one process: mixed sizes, changes of LoRAs and aborts between them; what is held after each round. */
import process from 'node:process';
import { AnimateDiff } from '../../lib/animatediff.ts';
import type { LoadOptions } from '../../lib/options.ts';
import { readJob } from './process.ts';

export interface SoakJob {
  readonly load: LoadOptions;
  readonly loras: readonly string[];
  readonly size: number;
  readonly frames: number;
  readonly steps: number;
  readonly clips: number;
}

/** Bytes after a round, when nothing runs. */
export interface Held {
  readonly clips: number;
  readonly aborted: number;
  /** Tensors on the device, and the most that its allocator has taken so far. */
  readonly device: number;
  readonly devicePeak: number;
  /** Large tensors on the host, and everything that is resident. */
  readonly host: number;
  readonly resident: number;
}

const job = readJob<SoakJob>();
const { size, frames } = job;
/** Multiples of the VAE's factor near a part of the size. */
const part = (share: number) => Math.max(64, Math.round((size * share) / 64) * 64);
const SHAPES = [
  { width: size, height: size, frames },
  { width: part(0.5), height: size, frames },
  { width: size, height: part(0.75), frames: Math.max(1, Math.floor(frames / 2)) },
  { width: part(0.5), height: part(0.5), frames },
];
const LORAS = [[], [job.loras[0]], [job.loras[1]], [{ path: job.loras[0], scale: 0.5 }, job.loras[1]]];
const pipe = await AnimateDiff.load(job.load);
let made = 0;
let aborted = 0;

async function makeClip(index: number, abort: boolean): Promise<void> {
  const controller = new AbortController();
  const clip = pipe.generate({
    ...{ prompt: `clip ${index}`, seed: index, steps: job.steps, ...SHAPES[index % SHAPES.length] },
    guidanceScale: index % 3 === 2 ? 1 : 7.5,
    signal: controller.signal,
    onProgress: ({ phase, step }) => {
      if (abort && phase === 'sample' && step === 1) controller.abort();
    },
  });
  try {
    await clip;
    made += 1;
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    aborted += 1;
  }
}

async function held(): Promise<Held> {
  for (let turn = 0; turn < 3; turn += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { deviceHeld: device, devicePeak, hostHeld: host } = await pipe.memory();
  return { clips: made, aborted, device, devicePeak, host, resident: process.memoryUsage.rss() };
}

/** One round meets every shape with every choice of LoRAs, and an abort for each of the latter. */
const rounds: Held[] = [];
for (let index = 0; made < job.clips; index += 1) {
  await makeClip(index, false);
  if ((index + 1) % SHAPES.length !== 0) continue;
  await makeClip(index, true);
  const turn = (index + 1) / SHAPES.length;
  await pipe.setLoras((LORAS[turn % LORAS.length] ?? []) as NonNullable<LoadOptions['loras']>);
  if (turn % LORAS.length === 0 || made >= job.clips) rounds.push(await held());
}
await pipe.close();
console.log(JSON.stringify(rounds));
