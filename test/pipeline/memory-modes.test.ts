/** The option `memory` and running out of memory, on the CPU, with a limit for tensors in place of a small device. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AnimateDiff } from '../../lib/animatediff.ts';
import type { Clip } from '../../lib/clip.ts';
import type { AnimateDiffError } from '../../lib/errors.ts';
import { limitHostMemory } from '../../lib/native.ts';
import type { GenerateOptions, LoadOptions, MemoryMode } from '../../lib/options.ts';
import { loadTiny } from '../support/pipeline.ts';

/** Large enough for its tensors to count. */
const CLIP = { prompt: 'a paper boat', frames: 8, width: 256, height: 128, steps: 1, seed: 7 } as const;

/** Sampling takes more of it than decoding does. */
const LONG_CLIP = { ...CLIP, frames: 16 } as const;

/**
 * Bytes beyond the weights. Sampling takes 10 MiB, with guidance in halves 5, of the long clip twice that; decoding takes
 * 11 for each of the frames that it has at once. The plan reckons with 21 and 11, and leaves a tenth of all memory free.
 */
const ENOUGH_FOR_HALVES = 22 * 2 ** 20;
const FEWER_THAN_PLANNED = 14 * 2 ** 20;
const TOO_LITTLE = { sampling: 4 * 2 ** 20, decoding: 9.75 * 2 ** 20 } as const;

/** Makes a clip with so many bytes beyond the weights. */
async function within(
  pipe: AnimateDiff,
  bytes: number,
  clip: GenerateOptions & { prompt: string } = CLIP,
): Promise<Clip> {
  limitHostMemory((await pipe.memory()).hostHeld + bytes);
  try {
    return await pipe.generate(clip);
  } finally {
    limitHostMemory(0);
  }
}

function assertSame(actual: Clip, expected: Clip): void {
  const differences = actual.data.map((value, index) => Math.abs(value - (expected.data[index] ?? 0)));
  const worst = differences.reduce((most, difference) => Math.max(most, difference), 0);
  console.log(`frames: max difference ${worst} (limit 1)`);
  assert.ok(worst <= 1);
}

const codes = ({ notices }: AnimateDiff) => notices.map(({ code }) => code);

describe('memory', () => {
  it('is one of three', async () => {
    await assert.rejects(loadTiny({ memory: 'tiny' } as unknown as Partial<LoadOptions>), {
      code: 'ERR_INVALID_ARGUMENT',
      message: "Expected one of 'auto', 'low', 'high' for `memory`, got 'tiny'.",
    });
  });

  // Rows of the UNet's batch and frames that are computed at once.
  const plans: readonly [MemoryMode, number, number][] = [
    ['auto', 2, 4],
    ['high', 2, 4],
    ['low', 1, 1],
  ];
  it('changes how clips are made, and not what they show', async () => {
    const clips: Clip[] = [];
    for (const [memory, rowsAtOnce, framesDecoded] of plans) {
      await using pipe = await loadTiny({ memory });
      assert.equal((await pipe.memory()).plan, undefined);
      clips.push(await pipe.generate(CLIP));
      const { plan } = await pipe.memory();
      assert.deepEqual(plan, { rows: 2, rowsAtOnce, framesDecoded, offload: 'none' });
      assert.deepEqual(codes(pipe), []);
    }
    const [auto, high, low] = clips as [Clip, Clip, Clip];
    assert.deepEqual(auto.data, high.data);
    assertSame(low, high);
  });

  it('looks at what is free: `auto` splits guidance and says so once', async () => {
    await using pipe = await loadTiny({ memory: 'auto' });
    const expected = await pipe.generate(CLIP);
    assertSame(await within(pipe, ENOUGH_FOR_HALVES), expected);
    await within(pipe, ENOUGH_FOR_HALVES);
    assert.equal((await pipe.memory()).plan?.rowsAtOnce, 1);
    assert.deepEqual(codes(pipe), ['memory-plan']);
    assert.match(
      pipe.notices[0]?.message ?? '',
      /short: the UNet runs 2 times for a step, 1 frame is decoded/,
    );
  });

  it('splits one clip of a batch from another too, and texts that change with them', async () => {
    const batch = { ...CLIP, prompt: ['a boat', { 0: 'a fox', 7: 'a tree' }], seed: [1, 2], width: 64 };
    const frames: Clip[][] = [];
    for (const memory of ['high', 'low'] as const) {
      await using pipe = await loadTiny({ memory });
      frames.push(await pipe.generate(batch));
      assert.equal((await pipe.memory()).plan?.rows, 4);
    }
    const [high = [], low = []] = frames;
    for (const [index, clip] of low.entries()) assertSame(clip, high[index] as Clip);
  });
});

describe('a stage that runs out of memory', () => {
  it('goes on in smaller pieces, with the same result', async () => {
    await using pipe = await loadTiny({ memory: 'high' });
    const expected = await pipe.generate(LONG_CLIP);
    assertSame(await within(pipe, FEWER_THAN_PLANNED, LONG_CLIP), expected);
    assert.equal((await pipe.memory()).plan?.rowsAtOnce, 1);
    const smaller = [
      /while sampling; going on in smaller pieces: the UNet runs 2 times/,
      /while decoding; going on in smaller pieces: .*2 frames are decoded at a time/,
      /while decoding; going on in smaller pieces: .*1 frame is decoded at a time/,
    ];
    assert.deepEqual(
      codes(pipe),
      smaller.map(() => 'memory-retry'),
    );
    for (const [index, said] of smaller.entries()) assert.match(pipe.notices[index]?.message ?? '', said);
  });

  for (const [stage, bytes] of Object.entries(TOO_LITTLE)) {
    it(`is an error where nothing smaller is left (${stage}), and the pipeline can be used again`, async () => {
      await using pipe = await loadTiny();
      const expected = await pipe.generate(CLIP);
      const error = await within(pipe, bytes).then(
        () => assert.fail('it fits'),
        (reason: AnimateDiffError) => reason,
      );
      assert.equal(error.code, 'ERR_OUT_OF_MEMORY');
      assert.match(
        error.message,
        new RegExp(`^Out of memory while ${stage}, with the smallest pieces\\. Ask for `),
      );
      assert.deepEqual((await pipe.generate(CLIP)).data, expected.data);
    });
  }
});
