/**
 * Samples held-out captions with the model that ships with the package and judges the pixels:
 *
 *   npm run eval:demo -- [--set base|neon|crayon|zoom-in|pan-left …] [--clips N] [--model FOLDER]
 *                        [--json FILE] [--sheets FOLDER] [--batch N] [--seed FIRST] [--motion-scale NUMBER] …
 *
 * Ends with status 1 when a goal is missed.
 */
import process from 'node:process';
import { main, runNode } from '../run.mjs';
import { setup } from '../setup.mjs';

await main(async () => {
  await setup();
  await runNode('tsx/dist/cli.mjs', ['scripts/eval-demo/evaluate.ts', ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
});
