import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { AnimateDiff } from '../../lib/animatediff.ts';
import type { DecodedFrame, GenerateProgress } from '../../lib/events.ts';
import type { GenerateOptions } from '../../lib/options.ts';
import { loadTiny, SMALL } from '../support/pipeline.ts';

describe('generate', () => {
  let pipe: AnimateDiff;
  before(async () => {
    pipe = await loadTiny();
  });
  after(() => pipe.close());

  it('gives RGB frames of the size that was asked for', async () => {
    const clip = await pipe.generate({ ...SMALL, width: 72, height: 56 });
    assert.deepEqual([clip.frameCount, clip.width, clip.height, clip.channels], [4, 72, 56, 3]);
    assert.equal(clip.data.length, 4 * 72 * 56 * 3);
    assert.ok(new Set(clip.data).size > 20, 'the picture is not empty');
  });

  it('gives the same bytes for the same seed in any spelling, others for another seed', async () => {
    const [first, second, other] = [
      await pipe.generate({ ...SMALL, seed: 10788741199826055526n }),
      await pipe.generate({ ...SMALL, seed: '10788741199826055526' }),
      await pipe.generate({ ...SMALL, seed: 8 }),
    ];
    assert.deepEqual(first.data, second.data);
    assert.notDeepEqual(first.data, other.data);
    assert.equal(first.parameters.seed, '10788741199826055526');
  });

  it('draws a seed for -1 and reports it', async () => {
    const drawn = await pipe.generate({ ...SMALL, seed: -1 });
    const again = await pipe.generate({ ...SMALL, seed: drawn.parameters.seed });
    assert.deepEqual(again.data, drawn.data);
  });

  it('makes one clip per prompt of a batch, each as it would be alone', async () => {
    const batch = await pipe.generate({ ...SMALL, prompt: ['a paper boat', 'a red fox'], seed: [7, 8] });
    const alone = await pipe.generate({ ...SMALL, prompt: 'a red fox', seed: 8 });
    assert.equal(batch.length, 2);
    const differences = alone.data.map((value, index) => Math.abs(value - (batch[1]?.data[index] ?? 255)));
    assert.ok(Math.max(...differences) <= 1);
  });

  it('lets the negative prompt count only when guidance is on', async () => {
    const run = (negativePrompt: string, guidanceScale: number) =>
      pipe.generate({ ...SMALL, negativePrompt, guidanceScale });
    assert.notDeepEqual((await run('', 7.5)).data, (await run('rain', 7.5)).data);
    assert.deepEqual((await run('', 1)).data, (await run('rain', 1)).data);
  });

  it('delivers frames while later ones are decoded, with the bytes of the clips', async () => {
    await using one = await loadTiny({ memory: 'low' });
    const watch = async (from: typeof pipe) => {
      const frames: DecodedFrame[] = [];
      const order: string[] = [];
      const clips = await from.generate({
        ...SMALL,
        prompt: ['a cat', 'a dog'],
        onFrame: (frame) => {
          frames.push(frame);
          order.push(`${frame.clip}/${frame.frame}`);
        },
        onProgress: ({ phase, step }) => phase === 'decode' && order.push(`done ${step}`),
      });
      for (const { clip, frame, data, width, height } of frames) {
        assert.deepEqual([width, height], [clips[clip]?.width, clips[clip]?.height]);
        assert.deepEqual(data, clips[clip]?.frame(frame));
      }
      return order;
    };
    assert.deepEqual(await watch(one), [
      ...['0/0', 'done 1', '0/1', 'done 2', '0/2', 'done 3', '0/3', 'done 4'],
      ...['1/0', 'done 5', '1/1', 'done 6', '1/2', 'done 7', '1/3', 'done 8'],
    ]);
    // Frames this small are decoded together.
    assert.deepEqual(await watch(pipe), ['0/0', '0/1', '0/2', '0/3', '1/0', '1/1', '1/2', '1/3', 'done 8']);
  });

  it('ends the call with what a listener to frames throws, and works on', async () => {
    const reason = new Error('enough');
    const onFrame = () => {
      throw reason;
    };
    await assert.rejects(pipe.generate({ ...SMALL, onFrame }), reason);
    assert.equal((await pipe.generate(SMALL)).frameCount, 4);
    await assert.rejects(pipe.generate({ ...SMALL, onFrame: 1 as never }), { code: 'ERR_INVALID_ARGUMENT' });
  });

  it('reports steps and frames in order, with previews of every frame when asked', async () => {
    const events: GenerateProgress[] = [];
    await pipe.generate({ ...SMALL, preview: true, onProgress: (event) => events.push(event) });
    const sampling = events.filter((event) => event.phase === 'sample');
    assert.deepEqual(
      sampling.map(({ step, steps }) => [step, steps]),
      [
        [1, 3],
        [2, 3],
        [3, 3],
      ],
    );
    const decoding = events.filter((event) => event.phase === 'decode').map((event) => event.step);
    assert.deepEqual(decoding, [4]);
    for (const { preview } of sampling) {
      assert.deepEqual([preview?.frames, preview?.width, preview?.height], [4, 8, 8]);
      assert.equal(preview?.data.length, 4 * 8 * 8 * 3);
    }
  });

  it('keeps the event loop turning while it computes', async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    const start = performance.now();
    await pipe.generate({ ...SMALL, frames: 16, steps: 10 });
    const milliseconds = performance.now() - start;
    clearInterval(timer);
    assert.ok(turns > milliseconds / 20, `${turns} turns in ${milliseconds.toFixed(0)} ms`);
  });

  it('says which words of a long prompt were dropped', async () => {
    const before = pipe.notices.length;
    await pipe.generate({ ...SMALL, steps: 1, promptSyntax: 'plain', prompt: `${'word '.repeat(80)}zebra` });
    const [notice] = pipe.notices.slice(before);
    assert.equal(notice?.code, 'prompt-truncated');
    assert.match(notice?.message ?? '', /81 tokens, 75 fit.*zebra/);
  });

  const wrong: readonly (readonly [string, Partial<GenerateOptions>, string])[] = [
    ['more frames than positions', { frames: 33 }, 'ERR_TOO_MANY_FRAMES'],
    ['no frames', { frames: 0 }, 'ERR_INVALID_ARGUMENT'],
    ['a width that is no multiple of 8', { width: 100 }, 'ERR_INVALID_ARGUMENT'],
    ['a fractional height', { height: 64.5 }, 'ERR_INVALID_ARGUMENT'],
    ['no steps', { steps: 0 }, 'ERR_INVALID_ARGUMENT'],
    ['steps that leave the schedule', { steps: 1000 }, 'ERR_INVALID_ARGUMENT'],
    ['guidance that is not a number', { guidanceScale: Number.NaN }, 'ERR_INVALID_ARGUMENT'],
    ['a seed beyond 64 bits', { seed: 2n ** 64n }, 'ERR_INVALID_ARGUMENT'],
    ['a seed that lost digits', { seed: 2 ** 63 }, 'ERR_INVALID_ARGUMENT'],
    ['an unknown scheduler', { scheduler: 'dimm' as 'ddim' }, 'ERR_INVALID_ARGUMENT'],
    ['an unknown option', { guidance: 3 } as Partial<GenerateOptions>, 'ERR_INVALID_ARGUMENT'],
    ['a prompt that is not text', { prompt: 5 as unknown as string }, 'ERR_INVALID_ARGUMENT'],
    ['two seeds for one prompt', { seed: [1, 2] }, 'ERR_INVALID_ARGUMENT'],
  ];
  for (const [what, options, code] of wrong) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(pipe.generate({ ...SMALL, ...options }), { code });
    });
  }

  it('works after all of these', async () => {
    assert.equal((await pipe.generate(SMALL)).frameCount, 4);
  });
});

describe('a pipeline without a motion module', () => {
  it('makes single images and says what more frames would need', async () => {
    const pipe = await loadTiny({ motionModule: undefined });
    const clip = await pipe.generate({ ...SMALL, frames: undefined });
    assert.equal(clip.frameCount, 1);
    await assert.rejects(pipe.generate(SMALL), { code: 'ERR_INVALID_ARGUMENT', message: /motion module/ });
    await pipe.close();
  });
});
