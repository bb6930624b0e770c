/** The reference fixtures are complete, consistent, and tell the cases apart that they are there to tell. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadFixture, maxAbsError, pipelineFixtures } from './load-fixture.ts';

/** Parity tests of one module allow 1e-5; whatever they are to notice has to be far larger. */
const VISIBLE = 1e-3;

describe('loadFixture', () => {
  it('reads tensors with their shapes and the document about them', () => {
    const fixture = loadFixture('text-encoder');
    assert.deepEqual(fixture.shape('ids'), [4, 77]);
    assert.deepEqual([...fixture.int32('ids').subarray(0, 4)], [49406, 320, 2368, 49407]);
    assert.equal(fixture.float32('last_hidden_state').length, 4 * 77 * 32);
    assert.equal(fixture.about.prompts[0], 'a cat');
  });

  it('refuses an unknown tensor and a wrong element type', () => {
    const fixture = loadFixture('vae');
    assert.throws(() => fixture.float32('latent'), { code: 'ERR_INVALID_ARGUMENT', message: /latents/ });
    assert.throws(() => fixture.int32('latents'), { code: 'ERR_INVALID_ARGUMENT', message: /F32/ });
  });
});

describe('maxAbsError', () => {
  it('is the largest absolute difference', () => {
    assert.equal(maxAbsError([1, 2, 3], [1, 2.5, 2.75]), 0.5);
  });

  it('is NaN when either side has a NaN, wherever it stands', () => {
    assert.ok(Number.isNaN(maxAbsError([Number.NaN, 0, 5], [0, 0, 0])));
    assert.ok(Number.isNaN(maxAbsError([0, 0, 5], [0, Number.NaN, 0])));
  });

  it('refuses arrays of different lengths', () => {
    assert.throws(() => maxAbsError([1], [1, 2]), { code: 'ERR_INVALID_ARGUMENT' });
  });
});

describe('UNet reference', () => {
  const unet = loadFixture('unet');

  for (const size of ['8x8', '10x6']) {
    for (const motion of ['v1', 'v2', 'v3']) {
      it(`tells original from diffusers for ${motion} at ${size}`, () => {
        const original = unet.float32(`${motion}.original.${size}`);
        assert.ok(maxAbsError(original, unet.float32(`${motion}.diffusers.${size}`)) > VISIBLE);
      });
    }

    it(`tells the norms of v1 from those of v3, and v2 by its middle module, at ${size}`, () => {
      const v3 = unet.float32(`v3.original.${size}`);
      assert.ok(maxAbsError(v3, unet.float32(`v1.original.${size}`)) > VISIBLE);
      assert.ok(maxAbsError(v3, unet.float32(`v2.original.${size}`)) > VISIBLE);
    });

    it(`computes v1 and v3 alike in diffusers at ${size}, as their weights are the same`, () => {
      const v1 = unet.float32(`v1.diffusers.${size}`);
      assert.equal(maxAbsError(v1, unet.float32(`v3.diffusers.${size}`)), 0);
    });
  }

  it('has, without motion modules, the same first frame whatever frames follow', () => {
    const [batch = 0, channels = 0, frames = 0, height = 0, width = 0] = unet.shape('none.3.8x8');
    const all = unet.float32('none.3.8x8');
    const area = height * width;
    const first = Array.from({ length: batch * channels }, (_, plane) => {
      const start = plane * frames * area;
      return [...all.subarray(start, start + area)];
    }).flat();
    assert.equal(maxAbsError(first, unet.float32('none.1.8x8')), 0);
  });

  it('depends little enough on rounding for a tolerance of 1e-5', () => {
    assert.ok(Math.max(...Object.values(unet.about.float32Error)) < 5e-6);
  });
});

describe('noise reference', () => {
  it('starts with the published values of each seed', () => {
    const noise = loadFixture('noise');
    const published = {
      '10788741199826055526': [1.4511597, -2.0046399, 1.6008718, 0.5280931],
      '18339859844376517918': [0.1480209, -0.1544525, -0.026931, 2.3519824],
      '1007': [-0.6346691, 0.2259482, -0.0636714, -2.2047806],
    };
    for (const [seed, values] of Object.entries(published)) {
      assert.ok(maxAbsError(noise.float32(`${seed}.start`), values) < 1e-6, seed);
    }
  });
});

describe('DDIM reference', () => {
  const ddim = loadFixture('ddim');

  it('has the timesteps of the known tables', () => {
    const known = {
      'leading.5': [801, 601, 401, 201, 1],
      'linspace.5': [999, 749, 500, 250, 0],
      'trailing.5': [999, 799, 599, 399, 199],
      'leading.1': [1],
    };
    for (const [name, values] of Object.entries(known)) {
      assert.deepEqual([...ddim.int32(`timesteps.${name}`)], values, name);
    }
  });

  it('has the alphas of both beta schedules', () => {
    const at = (name: string) => [0, 1, 500, 999].map((t) => ddim.float32(`alphas_cumprod.${name}`)[t] ?? 0);
    assert.ok(maxAbsError(at('linear'), [0.99914998, 0.99828953, 0.16077162, 0.00157896]) < 1e-7);
    assert.ok(maxAbsError(at('scaled_linear'), [0.99914998, 0.99829602, 0.27633247, 0.0046601]) < 1e-7);
  });

  it('has a run for every combination of settings, no two of them alike', () => {
    const ends = ddim.about.runs.map(({ tensor }) => ddim.float32(tensor).join());
    assert.equal(new Set(ends).size, 3 * 2 * 3 * 2 * 2);
  });
});

describe('pipeline reference', () => {
  for (const name of pipelineFixtures()) {
    it(`${name} holds what its settings say`, () => {
      const { about, ...fixture } = loadFixture(name);
      const clips = about.seeds.length;
      const latents = [clips, 4, about.frames, about.height / 8, about.width / 8];
      for (const state of ['initial', 'step1', 'final'])
        assert.deepEqual(fixture.shape(`latents.${state}`), latents);
      assert.deepEqual(fixture.shape('frames.uint8'), [clips, about.frames, about.height, about.width, 3]);
      assert.deepEqual(fixture.shape('ids'), [clips, 77]);
      assert.equal(about.prompts.length, clips);
    });

    it(`${name} shows a picture, not a flat or clipped field`, () => {
      const bytes = loadFixture(name).uint8('frames.uint8');
      const inside = bytes.filter((value) => value > 0 && value < 255).length / bytes.length;
      assert.ok(inside > 0.8, `${inside} of the values are inside the range`);
      assert.ok(new Set(bytes).size > 200);
    });

    it(`${name} depends little enough on rounding for a tolerance of 1e-4`, () => {
      const { 'latents.final': latents, frames } = loadFixture(name).about.float32Error;
      assert.ok(latents < 1e-4 && frames < 2e-5, `latents ${latents}, frames ${frames}`);
    });
  }

  it('tells the topologies and both kinds of norms apart in the frames', () => {
    const cases = ['v1-original', 'v1-diffusers', 'v2-original', 'v2-diffusers', 'v3-original'] as const;
    const samples = cases.map((name) => loadFixture(`pipeline-${name}`).float32('frames.sample'));
    for (const [index, sample] of samples.entries()) {
      for (const other of samples.slice(index + 1)) assert.ok(maxAbsError(sample, other) > 0.01);
    }
  });
});
