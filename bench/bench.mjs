/**
 * The benchmark: this package and its peers in turn, in one call, with random weights of the real sizes.
 * `bench/README.md` says what the flags are.
 *
 *   npm run bench -- [--device cpu|cuda] [--size 256] [--frames 16] [--against diffusers,compile] …
 *   npm run bench -- --curves      seconds and memory against the count of operations
 *   npm run bench -- --report      tables and plots of bench/README.md from bench/results/
 */
import process from 'node:process';
import { main, runNode } from '../scripts/run.mjs';
import { setup } from '../scripts/setup.mjs';

await main(async () => {
  await setup();
  await runNode('tsx/dist/cli.mjs', ['bench/main.ts', ...process.argv.slice(2)], { stdio: 'inherit' });
});
