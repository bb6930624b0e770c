/** The benchmark on the device: against its peers where Python has them, else this package alone. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { type Findings, runNode, type Subject } from './process.ts';

export async function checkBench({ flags, folder, say }: Subject): Promise<Findings> {
  const file = path.join(folder, 'bench.json');
  const { device, family, size, frames, steps, threads } = flags;
  const python = process.env.ANIMATEDIFF_BENCH_PYTHON;
  const settings = {
    ...{ device, family, size, frames, steps: Math.max(2, steps), folder, out: file },
    threads: threads || os.availableParallelism(),
    ...(device === 'cpu' && { rounds: 1, calls: 1, patience: 0, dtype: 'float32' }),
    ...(python === undefined ? { against: 'none' } : { python }),
    ...(family !== 'demo' && {
      only: 'unet,vae,end-to-end,first-frame,unguided,lora,load,memory,event-loop',
    }),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  say(`the benchmark on ${device}`);
  const { status } = await runNode(['node_modules/tsx/dist/cli.mjs', 'bench/main.ts', ...args]);
  if (status !== 0) return { problems: [`the benchmark ended with status ${status}`], facts: {} };
  return { problems: [], facts: JSON.parse(readFileSync(file, 'utf8')) };
}
