import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { tinyFiles } from '../support/pipeline.ts';

/** Bytes that the process may grow by after warming up; one leaked set of frames per call would be 20 times that. */
const LIMIT = 6 * 2 ** 20;

/** Runs a program with the built package in a process of its own, with `gc()`, and returns what it printed. */
function measure(body: string): number[] {
  const { base, motionModule } = tinyFiles();
  const program = `
    import { AnimateDiff } from ${JSON.stringify(path.resolve('dist/index.js'))};
    const files = ${JSON.stringify({ base, motionModule, device: 'cpu', threads: 1 })};
    const rss = async () => {
      for (let i = 0; i < 3; i += 1) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return process.memoryUsage.rss();
    };
    ${body}`;
  const flags = ['--expose-gc', '--input-type=module', '-e', program];
  const { status, stdout, stderr } = spawnSync(process.execPath, flags, {
    encoding: 'utf8',
    timeout: 280_000,
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as number[];
}

function report(what: string, values: readonly number[]): number {
  const growth = (values.at(-1) ?? Number.NaN) - (values[0] ?? Number.NaN);
  console.log(`${what}: ${values.map((value) => (value / 2 ** 20).toFixed(1)).join(' → ')} MiB`);
  return growth;
}

describe('memory', () => {
  it('does not grow over 200 generations', () => {
    const values = measure(`
      const pipe = await AnimateDiff.load(files);
      const values = [];
      for (let i = 0; i < 200; i += 1) {
        await pipe.generate({ prompt: 'clip ' + i, frames: 4, width: 64, height: 64, steps: 1, seed: i, preview: true,
          onProgress() {} });
        if (i >= 49 && (i + 1) % 50 === 0) values.push(await rss());
      }
      console.log(JSON.stringify(values));
      await pipe.close();`);
    assert.ok(report('200 generations', values) < LIMIT);
  });

  it('comes back when pipelines are closed', () => {
    const values = measure(`
      const values = [];
      for (let i = 0; i < 16; i += 1) {
        const pipe = await AnimateDiff.load(files);
        await pipe.generate({ prompt: 'clip', frames: 4, width: 64, height: 64, steps: 1, seed: i });
        await pipe.close();
        if (i >= 7) values.push(await rss());
      }
      console.log(JSON.stringify(values));`);
    // Eight more pipelines of 26 MB each may not take what one of them takes; allocators move by a few.
    assert.ok(report('8 more pipelines', values) < 20 * 2 ** 20);
  });
});
