/** The model that ships with the package, from command to GIF: this package's command against a diffusers script. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from '../lib/config/load.ts';
import type { Side } from './sides.ts';
import type { Value } from './statistics.ts';
import { type Programs, ROOT, runProgram } from './turns.ts';

const CONFIG = path.join(ROOT, 'configs', 'demo.yaml');

/** The job of `peers/demo.py`: what the command `demo` reads from its configuration. */
async function demoJob(threads: number, gif: string) {
  const config = await loadConfig(CONFIG);
  const first = <T>(value: T | readonly T[] | undefined) => [value].flat()[0];
  return {
    family: 'demo',
    checkpoint: config.base,
    motionModule: config.motionModule,
    prompt: first(config.prompt),
    seed: String(first(config.seed)),
    ...{ frames: config.frames, size: config.width, steps: config.steps, fps: config.fps },
    guidanceScale: config.guidanceScale,
    scheduler: config.scheduler,
    ...{ dtype: 'float32', compat: 'original', threads, gif },
  };
}

/** Seconds from the start of the command to its end, with the GIF written. */
export async function runDemo(
  side: Side,
  { threads, out }: { readonly threads: number; readonly out: string },
  { python }: Programs,
): Promise<Value> {
  mkdirSync(out, { recursive: true });
  const gif = path.join(out, 'demo.gif');
  if (side.runner === 'ours') {
    const command = ['dist/cli/index.js', 'demo', '--out', gif, '--quiet'];
    return { value: (await runProgram(process.execPath, command, { threads })).seconds };
  }
  const file = path.join(out, 'demo.json');
  writeFileSync(file, JSON.stringify(await demoJob(threads, gif)));
  return {
    value: (await runProgram(python ?? 'python3', ['bench/peers/demo.py', file], { threads })).seconds,
  };
}
