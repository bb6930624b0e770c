import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { openEngine, runScheduler, timesteps } from '../../lib/native.ts';
import { nativeScheduler, resolveScheduler } from '../../lib/scheduler.ts';
import { TEST_DEVICE } from '../support/engine.ts';
import { loadFixture } from '../support/load-fixture.ts';
import { assertClose } from '../support/tolerance.ts';

const TOLERANCE = 1e-5;

describe('DDIM equals diffusers', () => {
  const fixture = loadFixture('ddim');
  const { spacings, stepCounts, runSteps, etaSeed, runs } = fixture.about;
  before(() => openEngine({ device: TEST_DEVICE }));

  for (const timestepSpacing of spacings) {
    it(`in the timesteps of spacing ${timestepSpacing}`, () => {
      const scheduler = resolveScheduler({ name: 'ddim', timestepSpacing }, { compat: 'original' });
      for (const steps of stepCounts) {
        const expected = Array.from(fixture.int32(`timesteps.${timestepSpacing}.${steps}`));
        assert.deepEqual(timesteps(nativeScheduler(scheduler, steps)), expected, `${steps} steps`);
      }
    });
  }

  for (const { tensor, ...options } of runs) {
    const name = Object.values(options).join(', ');
    it(`step by step: ${name}`, () => {
      const scheduler = resolveScheduler({ name: 'ddim', ...options }, { compat: 'original' });
      const sample = { data: fixture.float32('latents'), shape: fixture.shape('latents') };
      const outputs = { data: fixture.float32('outputs'), shape: fixture.shape('outputs') };
      const { samples } = runScheduler(nativeScheduler(scheduler, runSteps), sample, outputs, [
        BigInt(etaSeed),
      ]);
      assertClose(`DDIM ${name}`, samples.data, fixture.float32(tensor), TOLERANCE);
    });
  }
});
