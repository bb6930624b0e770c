/** The whole benchmark with the tiny family, where there is no Python. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import type { BenchResult } from '../../bench/results.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const MEASURED =
  'clip coldStart coldStep decode eventLoop firstFrame hostPeak load lora step unet unguidedStep'.split(' ');

it('measures this package alone and says why', () => {
  const folder = temporaryFolder();
  const out = path.join(folder, 'result.json');
  const parts = 'unet,step,vae,end-to-end,first-frame,event-loop,unguided,lora,load,cold-start,memory';
  const flags = {
    ...{ family: 'tiny', size: 64, frames: 2, steps: 2, dtype: 'float32', threads: 1 },
    ...{ only: parts, against: 'diffusers', python: path.join(folder, 'no-python') },
    ...{ rounds: 1, calls: 1, patience: 0, folder, out },
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['node_modules/tsx/dist/cli.mjs', 'bench/main.ts', ...args],
    { encoding: 'utf8', timeout: 120_000 },
  );
  assert.equal(status, 0, stderr);
  assert.match(stderr, /This package alone: diffusers cannot run, since .*no-python does not run\./);
  assert.match(stdout, /^one UNet call \(guidance batch\) +[\d.]+ s$/m);
  assert.match(stdout, /^rate of a UNet call +[\d.]+ GFLOP\/s$/m);
  assert.match(stdout, /^Half of a guided step \/ a step without guidance, .*: [\d.]+×/m);

  const text = readFileSync(out, 'utf8');
  const { sides, settings, proofs } = JSON.parse(text) as BenchResult;
  assert.deepEqual([sides.length, sides[0]?.name, proofs], [1, 'ours-float32', []]);
  assert.deepEqual(Object.keys(sides[0]?.summaries ?? {}).sort(), MEASURED);
  for (const { min } of Object.values(sides[0]?.summaries ?? {})) assert.ok(min >= 0);
  assert.deepEqual([settings.size, settings.frames, settings.family], [64, 2, 'tiny']);
  assert.ok(!text.includes(folder), 'paths stay out of results');
});
