/** Motion modules that are sampled in another way than AnimateDiff's own, and the strength of the motion. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiff } from '../../lib/index.ts';
import { readableText } from '../../lib/output/metadata.ts';
import { loadTiny, SMALL } from '../support/pipeline.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeMotionAdapter, writeMotionModule } from '../support/tiny-model.ts';
import { assertClose } from '../support/tolerance.ts';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);

const LIGHTNING = at('animatediff_lightning_2step_comfyui.safetensors');
const ADAPTER = at('animatediff_lightning_8step_diffusers');
const LCM = at('AnimateLCM_sd15_t2v.ckpt');
const PLAIN = at('motion.safetensors');
writeMotionModule(LIGHTNING, { version: 'v2' });
writeMotionAdapter(ADAPTER, { version: 'v2' });
writeMotionModule(LCM, { version: 'animatelcm' });
writeMotionModule(PLAIN, { version: 'v2' });

/** Two frames of 64 by 64 whose seed is fixed, and nothing about sampling. */
const BARE = { prompt: 'a cat', seed: 5, frames: 2, width: 64, height: 64 } as const;

const EULER = { name: 'euler', timestepSpacing: 'trailing' } as const;

describe('AnimateDiff-Lightning', () => {
  it('is told by its name in both layouts, and is sampled as its model card says', async () => {
    for (const [motionModule, steps] of [
      [LIGHTNING, 2],
      [ADAPTER, 8],
    ] as const) {
      await using pipe = await loadTiny({ motionModule });
      assert.deepEqual(pipe.info.motion, { version: 'lightning', maxFrames: 32, steps });
      assert.deepEqual(pipe.info.sampling, { scheduler: EULER, steps, guidanceScale: 1 });
      const notices = pipe.notices.filter(({ code }) => code === 'motion-sampling');
      assert.equal(notices.length, 1);
      assert.match(
        notices[0]?.message ?? '',
        new RegExp(
          `Lightning: .*euler \\(timestepSpacing=trailing\\), ${steps} steps and the guidance scale 1`,
        ),
      );
    }
  });

  it('takes its own settings unless others are given', async () => {
    await using pipe = await loadTiny({ motionModule: LIGHTNING });
    const clip = await pipe.generate(BARE);
    assert.deepEqual([clip.parameters.steps, clip.parameters.guidanceScale], [2, 1]);
    assert.equal(clip.parameters.scheduler, 'euler (timestepSpacing=trailing)');
    const stated = await pipe.generate({ ...BARE, scheduler: EULER, steps: 2, guidanceScale: 1 });
    assert.deepEqual(stated.data, clip.data);
    const named = await pipe.generate({ ...BARE, scheduler: 'Euler' });
    assert.deepEqual(named.data, clip.data, 'the module stands under options of its own scheduler');
    const other = await pipe.generate({ ...BARE, scheduler: 'ddim', steps: 3, guidanceScale: 2 });
    assert.deepEqual(
      [other.parameters.scheduler, other.parameters.steps, other.parameters.guidanceScale],
      ['ddim', 3, 2],
    );
    assert.deepEqual(
      pipe.notices.map(({ code }) => code).filter((code) => code === 'lightning-steps'),
      ['lightning-steps'],
      'only the call with three steps was told',
    );
  });

  it('can be said of a file with another name', async () => {
    await using pipe = await loadTiny({ motionModule: { path: PLAIN, version: 'lightning', steps: 1 } });
    assert.equal(pipe.info.sampling.steps, 1);
    await using vague = await loadTiny({ motionModule: { path: PLAIN, version: 'lightning' } });
    assert.equal(vague.info.sampling.steps, 4);
    assert.match(vague.notices.map(({ message }) => message).join(), /give `motionModule\.steps`/);
    await using renamed = await loadTiny({ motionModule: { path: LIGHTNING, version: 'v2' } });
    assert.deepEqual(renamed.info.sampling.scheduler, { name: 'ddim' });
  });

  it('refuses steps that make no sense', async () => {
    const code = 'ERR_INVALID_ARGUMENT';
    await assert.rejects(loadTiny({ motionModule: { path: LIGHTNING, steps: 3 } }), {
      code,
      message: /1, 2, 4 or 8/,
    });
    await assert.rejects(loadTiny({ motionModule: { path: PLAIN, steps: 4 } }), {
      code,
      message: /v2 module/,
    });
  });

  for (const [name, what] of [
    ['lightning.pt', 'archive'],
    ['lightning.safetensors', 'checkpoint'],
  ] as const) {
    it(`is remembered by a baked ${what}`, async () => {
      await using pipe = await loadTiny({ motionModule: { path: LIGHTNING, scale: 0.5 } });
      const expected = await pipe.generate(BARE);
      await pipe.bake(at(name));
      await using baked = await AnimateDiff.load({
        base: at(name),
        device: 'cpu',
        dtype: 'float32',
        threads: 1,
      });
      assert.deepEqual(baked.info.motion, { version: 'lightning', maxFrames: 32, steps: 2, scale: 0.5 });
      assert.deepEqual(baked.info.sampling, pipe.info.sampling);
      const clip = await baked.generate(BARE);
      assert.deepEqual(clip.data, expected.data);
      assert.equal(clip.parameters.motionScale, 0.5);
    });
  }
});

describe('AnimateLCM', () => {
  it('is remembered by a baked checkpoint', async () => {
    await using pipe = await loadTiny({ motionModule: LCM });
    const expected = await pipe.generate(BARE);
    await pipe.bake(at('lcm.safetensors'));
    await using baked = await AnimateDiff.load({
      base: at('lcm.safetensors'),
      device: 'cpu',
      dtype: 'float32',
      threads: 1,
    });
    assert.deepEqual(baked.info.motion, pipe.info.motion);
    assert.deepEqual((await baked.generate(BARE)).data, expected.data);
  });

  it('is sampled as its authors do, unless other settings are given', async () => {
    await using pipe = await loadTiny({ motionModule: LCM });
    assert.deepEqual(pipe.info.sampling, {
      scheduler: { name: 'lcm', originalInferenceSteps: 100 },
      steps: 4,
      guidanceScale: 1.5,
    });
    const clip = await pipe.generate(BARE);
    assert.equal(clip.parameters.scheduler, 'lcm (originalInferenceSteps=100)');
    const other = await pipe.generate({ ...BARE, scheduler: { name: 'lcm', originalInferenceSteps: 50 } });
    assert.equal(other.parameters.scheduler, 'lcm');
    assert.notDeepEqual(other.data, clip.data);
    assert.equal(pipe.notices.filter(({ code }) => code === 'motion-sampling').length, 1);
  });
});

describe('every scheduler', () => {
  it('makes a clip of its own, the same every time, under all of its spellings', async () => {
    await using pipe = await loadTiny({ motionModule: PLAIN });
    const clips = new Set<string>();
    for (const names of [
      ['ddim', 'DDIM'],
      ['euler', 'Euler'],
      ['euler_a', 'Euler a'],
      ['dpm++_2m', 'dpmpp_2m', 'DPM++ 2M'],
      ['k_dpmpp_2m', 'DPM++ 2M Karras'],
      ['lcm', 'LCM'],
      ['pndm', 'plms', 'PLMS'],
    ] as const) {
      const made = [];
      for (const scheduler of names) made.push(await pipe.generate({ ...BARE, scheduler, steps: 3 }));
      for (const { data } of made) assert.deepEqual(data, made[0]?.data, names.join());
      clips.add(Buffer.from(made[0]?.data ?? []).toString('base64'));
    }
    assert.equal(clips.size, 7);
  });

  it('refuses options of another', async () => {
    await using pipe = await loadTiny({ motionModule: PLAIN });
    const euler = { name: 'euler', eta: 1 } as unknown as 'euler';
    const code = 'ERR_INVALID_ARGUMENT';
    await assert.rejects(pipe.generate({ ...BARE, scheduler: euler }), {
      code,
      message: /karrasSigmas.*eta/,
    });
    await assert.rejects(
      pipe.generate({ ...BARE, scheduler: { name: 'euler_a', predictionType: 'sample' } }),
      { code, message: /'epsilon' or 'v_prediction' with euler_a/ },
    );
    await assert.rejects(
      pipe.generate({ ...BARE, scheduler: { name: 'lcm', originalInferenceSteps: 10 }, steps: 11 }),
      { code, message: /originalInferenceSteps from the number of steps, which is 11/ },
    );
  });
});

describe('the scale of a motion module', () => {
  it('of 0 gives the picture that the base makes without it', async () => {
    // The same noise: that of a clip of one frame. More frames are compared in test/parity/networks.test.ts.
    const one = { ...BARE, frames: 1, steps: 4 };
    await using still = await loadTiny({ motionModule: { path: PLAIN, scale: 0 } });
    await using moving = await loadTiny({ motionModule: PLAIN });
    await using images = await loadTiny({ motionModule: undefined });
    const image = await images.generate(one);
    assertClose('motion scale 0, bytes', (await still.generate(one)).data, image.data, 0);
    assert.notDeepEqual((await moving.generate(one)).data, image.data);
  });

  it('of 1 changes nothing, and any other number changes the clip', async () => {
    const frames = [];
    for (const scale of [undefined, 1, 0.5, -1]) {
      await using pipe = await loadTiny({ motionModule: { path: PLAIN, scale } });
      const clip = await pipe.generate(SMALL);
      frames.push(Buffer.from(clip.data).toString('base64'));
      assert.equal(clip.parameters.motionScale, scale === 1 ? undefined : scale);
      assert.equal(
        /Motion scale: /.test(readableText(clip.parameters)),
        clip.parameters.motionScale !== undefined,
      );
    }
    assert.equal(frames[0], frames[1]);
    assert.equal(new Set(frames).size, 3);
  });

  it('is a finite number', async () => {
    for (const scale of [Number.NaN, Number.POSITIVE_INFINITY, '1' as unknown as number]) {
      await assert.rejects(loadTiny({ motionModule: { path: PLAIN, scale } }), {
        code: 'ERR_INVALID_ARGUMENT',
        message: /a finite number for `motionModule\.scale`/,
      });
    }
  });
});
