/** The benchmark's arithmetic: medians, ratios, tolerances, and the count of operations. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { difference } from '../../bench/equality.ts';
import { decodeOperations, unetOperations } from '../../bench/operations.ts';
import { median, ratio, summarise } from '../../bench/statistics.ts';
import { ratioTable, unguidedRatio } from '../../bench/tables.ts';
import { readFamily } from '../support/family.ts';

const summary = (value: number) => ({ median: value, min: value, count: 1 });
const side = (name: string, step: number, unguidedStep: number) => ({
  name,
  dtype: 'float32' as const,
  versions: {},
  weights: 0,
  summaries: { step: summary(step), unguidedStep: summary(unguidedStep) },
});

describe('statistics of a benchmark', () => {
  it('takes the middle value, or between the two middle ones', () => {
    assert.equal(median([9, 1, 2]), 2);
    assert.equal(median([9, 1, 2, 4]), 3);
    assert.throws(() => median([]), RangeError);
  });

  it('keeps the least value, how many there were, and the worst disturbance', () => {
    const values = [{ value: 3, foreign: 0.1 }, { value: 1 }, { value: 2, foreign: 0.4 }];
    assert.deepEqual(summarise(values), { median: 2, min: 1, count: 3, foreign: 0.4 });
    assert.deepEqual(summarise([{ value: 3 }]), { median: 3, min: 3, count: 1 });
    assert.equal(summarise([]), undefined);
  });

  it('divides the value of the peer by ours, so that above 1 is better', () => {
    const ours = { median: 2, min: 1, count: 2 };
    assert.deepEqual(ratio(ours, { median: 5, min: 4, count: 2 }), { median: 2.5, min: 4 });
    assert.equal(ratio(ours, undefined), undefined);
    assert.equal(ratio({ median: 0, min: 0, count: 1 }, ours), undefined);
  });

  it('leaves out measures that no peer has, and marks those that one has not', () => {
    const ours = side('ours-float32', 2, 1);
    const { step } = ours.summaries;
    const sides = [ours, side('diffusers', 5, 3), { ...side('compile-float32', 3, 0), summaries: { step } }];
    assert.deepEqual(
      ratioTable({ sides }, ours).map((row) => row.slice(1)),
      [
        ['diffusers, float32', 'torch.compile, float32'],
        ['2.50× (min 2.50×)', '1.00× (min 1.00×)'],
        ['3.00× (min 3.00×)', '–'],
      ],
    );
    assert.deepEqual(ratioTable({ sides: [ours] }, ours), []);
  });

  it('compares a step without guidance with half of a guided one', () => {
    assert.deepEqual(unguidedRatio(side('ours-float32', 3, 1)), { median: 1.5, min: 1.5 });
  });
});

describe('equality of outputs', () => {
  it('is relative to the reference', () => {
    const found = difference(Float32Array.of(3, 4.5, 0), Float32Array.of(3, 4, 0));
    assert.deepEqual(found, { relative: 0.1, largest: 0.125 });
  });

  it('holds for nothing that is not a number', () => {
    const { relative, largest } = difference(Float32Array.of(Number.NaN, 1), Float32Array.of(1, 1));
    assert.deepEqual([relative <= 1, largest <= 1], [false, false]);
  });

  it('refuses tensors of other sizes', () => {
    assert.throws(() => difference(new Float32Array(2), new Float32Array(3)), /Expected 3 values, got 2/);
  });
});

describe('the count of operations of Stable Diffusion 1.5 with a v2 module', () => {
  const family = readFamily('sd15');
  // Counted by torch.utils.flop_counter over diffusers' UNetMotionModel and AutoencoderKL, 10^12.
  const COUNTED = [
    [32, 8.212, 9.955],
    [64, 35.498, 40.23],
  ] as const;
  for (const [latents, unet, decode] of COUNTED) {
    it(`is PyTorch's own for 16 frames ${8 * latents}×${8 * latents}`, () => {
      const counted = unetOperations(family, { batch: 2, frames: 16, side: latents }) / 1e12;
      const decoded = decodeOperations(family, { images: 16, side: latents }) / 1e12;
      assert.ok(Math.abs(counted / unet - 1) < 1e-4, `${counted} for ${unet}`);
      assert.ok(Math.abs(decoded / decode - 1) < 1e-4, `${decoded} for ${decode}`);
    });
  }
});
