import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { frameDelays } from '../../lib/output/delays.ts';

describe('frame delays', () => {
  it('are as even as whole units allow', () => {
    assert.deepEqual(frameDelays(4, 8, 100), [12, 13, 12, 13]);
    assert.deepEqual(frameDelays(3, 30, 100), [3, 4, 3]);
    assert.deepEqual(frameDelays(3, 24, 1000), [42, 41, 42]);
    assert.deepEqual(frameDelays(2, 0.1, 100), [1000, 1000]);
  });

  it('add up to the length of the clip, to half a unit, for every rate and length', () => {
    for (const units of [100, 1000]) {
      for (const fps of [0.1, 1, 7, 7.5, 8, 12, 15, 23.976, 24, 25, 30, 33, 48, 50]) {
        for (const frames of [1, 2, 16, 24, 32, 100, 1000]) {
          const total = frameDelays(frames, fps, units).reduce((a, b) => a + b);
          assert.ok(Math.abs(total - (frames / fps) * units) <= 0.5 + 1e-9, `${frames} frames at ${fps} fps`);
        }
      }
    }
  });

  it('are never below 2/100 s up to 50 fps', () => {
    for (let fps = 1; fps <= 50; fps += 0.5)
      assert.ok(Math.min(...frameDelays(500, fps, 100)) >= 2, `${fps} fps`);
  });
});
