/** Guidance that ends early and reused features: exact where nothing is left out, recorded, checked. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { AnimateDiff } from '../../lib/animatediff.ts';
import type { GenerateOptions } from '../../lib/options.ts';
import { loadTiny, SMALL } from '../support/pipeline.ts';

describe('approximations of sampling', () => {
  let pipe: AnimateDiff;
  before(async () => {
    pipe = await loadTiny();
  });
  after(async () => {
    await pipe.close();
  });

  const frames = async (options: Partial<Omit<GenerateOptions, 'prompt'>>) =>
    (await pipe.generate({ ...SMALL, ...options })).data;

  it('are off by default', async () => {
    assert.deepEqual(await frames({ guidanceEnd: 1, deepCache: 1 }), await frames({}));
  });

  it('guidance that ends before the first step is no guidance', async () => {
    assert.deepEqual(await frames({ guidanceEnd: 0 }), await frames({ guidanceScale: 1 }));
  });

  it('guidance that ends later changes the steps after it alone', async () => {
    const [two, all] = [await frames({ guidanceEnd: 2 / 3 }), await frames({})];
    assert.notDeepEqual(two, all);
    assert.notDeepEqual(two, await frames({ guidanceEnd: 1 / 3 }));
    // With one step of three left out, rounding up or down makes no difference.
    assert.deepEqual(await frames({ guidanceEnd: 0.7 }), two);
  });

  it('the first step always runs the whole UNet', async () => {
    assert.deepEqual(await frames({ steps: 1, deepCache: 100 }), await frames({ steps: 1 }));
    assert.notDeepEqual(await frames({ deepCache: 2 }), await frames({}));
  });

  it('reused features outlive the end of guidance', async () => {
    const options = { deepCache: 3, steps: 3 };
    assert.notDeepEqual(await frames({ ...options, guidanceEnd: 0.4 }), await frames(options));
    // Features of the conditional half are those of a clip without guidance.
    assert.deepEqual(
      await frames({ ...options, guidanceEnd: 0 }),
      await frames({ ...options, guidanceScale: 1 }),
    );
  });

  it('stand in the record of a clip', async () => {
    const { parameters } = await pipe.generate({ ...SMALL, guidanceEnd: 0.5, deepCache: 2 });
    assert.equal(parameters.guidanceEnd, 0.5);
    assert.equal(parameters.deepCache, 2);
    assert.ok(!('deepCache' in (await pipe.generate(SMALL)).parameters));
  });

  for (const [options, message] of [
    [{ guidanceEnd: 1.5 }, /`guidanceEnd`.*1\.5/],
    [{ guidanceEnd: Number.NaN }, /`guidanceEnd`/],
    [{ deepCache: 0 }, /`deepCache`.*0/],
    [{ deepCache: 2.5 }, /`deepCache`.*2\.5/],
  ] as const) {
    it(`refuses ${JSON.stringify(options)}`, async () => {
      await assert.rejects(pipe.generate({ ...SMALL, ...options }), {
        code: 'ERR_INVALID_ARGUMENT',
        message,
      });
    });
  }
});
