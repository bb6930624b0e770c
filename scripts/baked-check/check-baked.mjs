/**
 * Whether diffusers reads what `bake` writes: the tiny model with a motion module and a LoRA is baked in both
 * safetensors layouts, diffusers loads each, and every network must compute what ours does.
 *
 *   npm run check:baked -- [--python PYTHON]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { referencePython } from '../full-check/python.mjs';
import { main, run, runNode } from '../run.mjs';
import { setup } from '../setup.mjs';

await main(async () => {
  const { values } = parseArgs({ options: { python: { type: 'string' } } });
  await setup();
  const python = await referencePython(values.python);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'animatediff-baked-'));
  try {
    await runNode('tsx/dist/cli.mjs', ['scripts/baked-check/write-baked.ts', folder]);
    await run(python, ['scripts/baked-check/compare_baked.py', folder]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
