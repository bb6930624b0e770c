import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { openEngine, runScheduler, timesteps } from '../../lib/native.ts';
import { nativeScheduler, resolveScheduler } from '../../lib/scheduler.ts';
import { TEST_DEVICE } from '../support/engine.ts';
import { loadFixture } from '../support/load-fixture.ts';
import { assertClose } from '../support/tolerance.ts';

/**
 * Of the largest value: at t = 999 samples of Euler and estimates of the others reach 100, where neighbouring float32
 * numbers are 8e-6 apart.
 */
const TOLERANCE = 1e-6;
/** Timesteps of Karras' levels are looked up between logarithms; all others are exact. */
const KARRAS_TOLERANCE = 1e-4;

function limitFor(expected: Float32Array): number {
  return TOLERANCE * expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
}

describe('every scheduler equals diffusers', () => {
  const fixture = loadFixture('schedulers');
  const { stepCounts, runSteps, seeds, runs } = fixture.about;
  before(() => openEngine({ device: TEST_DEVICE }));

  for (const { tensor, ...options } of runs) {
    const label = Object.values(options).join(', ');
    const scheduler = resolveScheduler(options, { compat: 'diffusers' });

    it(`step by step: ${label}`, () => {
      const sample = { data: fixture.float32('latents'), shape: fixture.shape('latents') };
      const [, ...clip] = fixture.shape('outputs');
      const count = fixture.shape(tensor)[0] ?? 0;
      const size = clip.reduce((product, length) => product * length, 1);
      const outputs = { data: fixture.float32('outputs').slice(0, count * size), shape: [count, ...clip] };
      const run = runScheduler(nativeScheduler(scheduler, runSteps), sample, outputs, seeds.map(BigInt));
      const samples = fixture.float32(tensor);
      assertClose(label, run.samples.data, samples, limitFor(samples));
      if (!options.name.startsWith('euler')) return;
      const inputs = fixture.float32(`${tensor}.inputs`);
      assertClose(`${label}, inputs`, run.inputs.data, inputs, limitFor(inputs));
    });

    if (options.predictionType !== 'epsilon') continue;
    it(`in the timesteps: ${label}`, () => {
      for (const steps of stepCounts) {
        const expected = fixture.float32(`${tensor}.timesteps.${steps}`);
        const limit = 'karrasSigmas' in options && options.karrasSigmas ? KARRAS_TOLERANCE : 0;
        assertClose(`${steps} steps`, timesteps(nativeScheduler(scheduler, steps)), expected, limit);
      }
    });
  }

  it('covers all six with their spacings, and DDIM in a fixture of its own', () => {
    const names = new Set(runs.map(({ name }) => name));
    assert.deepEqual([...names], ['euler', 'euler_a', 'dpm++_2m', 'lcm', 'pndm']);
    assert.equal(runs.length, 36 + 12 + 36 + 12 + 24);
  });
});
