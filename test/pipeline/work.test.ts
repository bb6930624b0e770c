/**
 * The work of one sampling step may not grow unnoticed: counts need no quiet machine. The difference between clips of
 * three and of two steps is one step, whatever is computed once.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { AnimateDiff } from '../../lib/animatediff.ts';
import { countWork } from '../../lib/native.ts';
import type { GenerateOptions } from '../../lib/options.ts';
import { loadTiny, SMALL } from '../support/pipeline.ts';

function hasAvx2Alone(): boolean {
  const file = '/proc/cpuinfo';
  const processors = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return /\bavx2\b/.test(processors) && !/\bavx512dq\b/.test(processors);
}

/**
 * What oneDNN allocates in every step on processors without AVX-512: there the order in which it wants the weights of a
 * convolution depends on the size of the picture, and it brings those that are packed otherwise into order at each call.
 */
const REORDERED = hasAvx2Alone() ? 7_446_528 : 0;

/** What a step took when this was last looked at. A change that takes less lowers these numbers with it. */
const LIMITS = {
  guided: { operators: 5_823, bytes: 35_045_052 + REORDERED },
  unguided: { operators: 5_806, bytes: 18_049_644 + REORDERED },
} as const;

/** Below this part of a limit, the limit is out of date. */
const TIGHT = 0.97;

async function countClip(pipe: AnimateDiff, options: Partial<GenerateOptions>) {
  countWork(true);
  await pipe.generate({ ...SMALL, ...options });
  return countWork(false);
}

async function countStep(pipe: AnimateDiff, guidanceScale: number) {
  // The first clip also specialises what depends on shapes.
  await pipe.generate({ ...SMALL, guidanceScale });
  const two = await countClip(pipe, { steps: 2, guidanceScale });
  const three = await countClip(pipe, { steps: 3, guidanceScale });
  return { operators: three.operators - two.operators, bytes: three.bytes - two.bytes };
}

describe('one sampling step of the tiny model', () => {
  for (const [name, limit] of Object.entries(LIMITS)) {
    it(`takes no more operators and memory than it did, ${name}`, async () => {
      await using pipe = await loadTiny({ dtype: 'float32' });
      const step = await countStep(pipe, name === 'guided' ? 7.5 : 1);
      for (const key of ['operators', 'bytes'] as const) {
        const found = step[key];
        console.log(`${name}: ${found} ${key}`);
        assert.ok(found <= limit[key], `${found} ${key}, at most ${limit[key]} so far`);
        assert.ok(found >= TIGHT * limit[key], `${found} ${key}: lower the limit of ${limit[key]}`);
      }
    });
  }

  it('is far less work where features are reused', async () => {
    await using pipe = await loadTiny();
    await pipe.generate(SMALL);
    const exact = await countClip(pipe, { steps: 3, guidanceScale: 7.5 });
    const reused = await countClip(pipe, { steps: 3, guidanceScale: 7.5, deepCache: 3 });
    assert.ok(
      reused.operators < 0.6 * exact.operators,
      `${reused.operators} of ${exact.operators} operators`,
    );
  });

  it('is counted only when that was asked for', async () => {
    await using pipe = await loadTiny();
    countWork(false);
    await pipe.generate(SMALL);
    assert.deepEqual(countWork(false), { operators: 0, allocations: 0, bytes: 0 });
  });
});
