/**
 * All that must hold on a device, as one run with one result: `npm run check:device -- --device cuda --out FOLDER`.
 * `main.ts` says what it does and what the flags are. Works in an offline bundle too (packed with `--with-tests`):
 *
 *   bin/node scripts/device-check/check-device.mjs --device cuda --out results
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { main, ROOT, runNode } from '../run.mjs';

await main(async () => {
  // A bundle has no lockfile: install.sh has built what it needs, against the LibTorch that it wrote down.
  if (existsSync(path.join(ROOT, 'package-lock.json'))) await (await import('../setup.mjs')).setup();
  else process.env.ANIMATEDIFF_LIBTORCH ??= readFileSync(path.join(ROOT, 'build', 'libtorch'), 'utf8').trim();
  await runNode('tsx/dist/cli.mjs', ['scripts/device-check/main.ts', ...process.argv.slice(2)], {
    stdio: 'inherit',
    cwd: process.cwd(),
  });
});
