/** What the benchmark reads: its command line, a peer's log, result files. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { readFlags } from '../../bench/flags.ts';
import { measuresOf, needs, tasksOf } from '../../bench/measures.ts';
import { readLog } from '../../bench/peers/sdcpp.ts';
import { readResults } from '../../bench/results.ts';
import { UsageError } from '../../bench/usage.ts';
import { baseShape } from '../../bench/work.ts';

describe('flags of the benchmark', () => {
  it('are those of the job that users know, unless told otherwise', () => {
    const { size, frames, threads, against, device, action } = readFlags([], 6);
    assert.deepEqual([size, frames, threads, device, action], [[256], [16], [6], 'cpu', 'bench']);
    assert.deepEqual(against, ['diffusers', 'diffusers-bf16', 'compile']);
  });

  it('take lists for curves alone', () => {
    assert.deepEqual(readFlags(['--curves', '--size', '64,128'], 6).size, [64, 128]);
    assert.deepEqual(readFlags(['--curves'], 6).threads, [1, 2, 4, 6]);
    assert.throws(() => readFlags(['--size', '64,128']), UsageError);
    assert.throws(() => readFlags(['--help']), {
      constructor: UsageError,
      message: /--rounds.*bench\/README\.md/s,
    });
  });

  it('add stable-diffusion.cpp when its path is given, and want the path when it is asked for', () => {
    assert.deepEqual(readFlags(['--against', 'none', '--sdcpp', 'sd-cli']).against, ['sdcpp']);
    assert.throws(() => readFlags(['--against', 'sdcpp']), /--sdcpp PATH/);
  });

  it('refuse what they do not know, and say what there is', () => {
    assert.throws(() => readFlags(['--only', 'unet,vea']), /unet, step, vae, end-to-end.*'vea'/);
    assert.throws(() => readFlags(['--rounds', '0']), /positive integers for --rounds/);
    assert.throws(() => readFlags(['--device', 'tpu']), /cpu, cuda/);
  });

  it('choose the usual shape among the values of curves', () => {
    const shape = { size: [128, 256], frames: [8, 32], batch: [1, 2], threads: [1, 2], steps: 3 };
    assert.deepEqual(baseShape(shape), { size: 256, frames: 8, batch: 1, threads: 2, steps: 3 });
  });
});

describe('parts of the benchmark', () => {
  it('run no more than they need', () => {
    assert.deepEqual(tasksOf(measuresOf(['vae', 'lora'])), ['clip', 'lora']);
    assert.deepEqual(tasksOf(measuresOf(['memory'])), []);
    assert.ok(needs(measuresOf(['memory']), 'fresh'));
    assert.ok(!needs(measuresOf(['unet']), 'demo'));
  });
});

describe("stable-diffusion.cpp's log", () => {
  it('gives seconds in either unit, and per step', () => {
    const log = [
      '[INFO ] stable-diffusion.cpp:291 - loading tensors completed, taking 2.50s (process: 0.01s)',
      '[INFO ] stable-diffusion.cpp:2451 - sampling completed, taking 8.00s',
      '[INFO ] stable-diffusion.cpp:2460 - latent 1 decoded, taking 500ms',
      '[INFO ] stable-diffusion.cpp:2460 - latent 2 decoded, taking 1.5s',
      '[INFO ] stable-diffusion.cpp:2470 - generate_video completed in 11.00s',
    ].join('\n');
    assert.deepEqual(readLog(log, 4), {
      step: [{ value: 2 }],
      decode: [{ value: 2 }],
      load: [{ value: 2.5 }],
      clip: [{ value: 11 }],
      firstFrame: [{ value: 11 }],
    });
    assert.deepEqual(readLog('nothing', 4), {});
  });
});

describe('result files', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'animatediff-results-'));
  after(() => rmSync(folder, { recursive: true }));

  it('come in the order in which they were measured', () => {
    const names = ['2026-01-31-cpu', '2026-01-31-cpu-2', '2026-01-31-cpu-10', '2026-02-01-cpu'];
    for (const name of names.toReversed()) writeFileSync(path.join(folder, `bench-${name}.json`), '{}');
    writeFileSync(path.join(folder, 'curves-2026-01-31-cpu.json'), '{}');
    assert.deepEqual(
      readResults('bench', folder).map(({ file }) => file),
      names.map((name) => `bench-${name}.json`),
    );
  });
});
