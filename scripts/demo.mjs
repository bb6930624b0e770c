/**
 * The first animation of a fresh checkout: sets everything up, then runs the command line as a user would.
 * Until a trained model ships with the package it animates a tiny one with random weights, and says so.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { main, ROOT, run, runNode, say } from './run.mjs';
import { setup } from './setup.mjs';

const OUTPUT = path.join('samples', 'demo.gif');

async function demo(folder) {
  await setup();
  say(
    'writing a tiny Stable Diffusion and a motion module with random weights: expect moving noise, not a picture',
  );
  await runNode('tsx/dist/cli.mjs', [path.join('scripts', 'demo-model.ts'), folder]);
  const model = [
    '--base',
    path.join(folder, 'base.safetensors'),
    '--motion-module',
    path.join(folder, 'motion.ckpt'),
  ];
  const clip = ['--prompt', 'a paper boat on a pond', '--seed', '42', '--width', '128', '--height', '128'];
  await run(
    process.execPath,
    [path.join(ROOT, 'dist', 'cli', 'index.js'), 'generate', ...model, ...clip, '--out', OUTPUT],
    {
      stdio: 'inherit',
    },
  );
}

await main(async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'animatediff-demo-'));
  try {
    await demo(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
