import { after, before, describe, it } from 'node:test';
import type { NativeInput } from '../../lib/native.ts';
import { type TinyEngine, tinyEngine } from '../support/engine.ts';
import { loadFixture } from '../support/load-fixture.ts';
import { assertClose } from '../support/tolerance.ts';

const TOLERANCE = 1e-5;
const SIZES = ['8x8', '10x6'] as const;

function firstFrames(data: Float32Array, shape: readonly number[], frames: number): NativeInput {
  const [batch = 0, channels = 0, all = 0, height = 0, width = 0] = shape;
  const area = height * width;
  const kept = new Float32Array(batch * channels * frames * area);
  for (let plane = 0; plane < batch * channels; plane += 1) {
    const start = plane * all * area;
    kept.set(data.subarray(start, start + frames * area), plane * frames * area);
  }
  return { data: kept, shape: [batch, channels, frames, height, width] };
}

describe('the text encoder equals transformers', () => {
  let tiny: TinyEngine;
  before(async () => {
    tiny = await tinyEngine({ roles: ['text_encoder'] });
  });
  after(() => tiny.engine.close());

  const fixture = loadFixture('text-encoder');
  const ids = { data: BigInt64Array.from(fixture.int32('ids'), BigInt), shape: fixture.shape('ids') };

  for (const [skip, name] of [
    [0, 'last_hidden_state'],
    [1, 'clip_skip_1'],
  ] as const) {
    it(`with ${skip} layers left out`, async () => {
      const { data } = await tiny.engine.forward('text_encoder', [ids], [skip]);
      assertClose(`text encoder, ${name}`, data, fixture.float32(name), TOLERANCE);
    });
  }
});

describe('the VAE equals diffusers', () => {
  let tiny: TinyEngine;
  before(async () => {
    tiny = await tinyEngine({ roles: ['vae_decoder', 'vae_encoder'] });
  });
  after(() => tiny.engine.close());

  const fixture = loadFixture('vae');

  it('when it decodes', async () => {
    const latents = { data: fixture.float32('latents'), shape: fixture.shape('latents') };
    const { data } = await tiny.engine.forward('vae_decoder', [latents]);
    assertClose('VAE decoder', data, fixture.float32('decoded'), TOLERANCE);
  });

  it('when it encodes', async () => {
    const image = { data: fixture.float32('image'), shape: fixture.shape('image') };
    const { data } = await tiny.engine.forward('vae_encoder', [image]);
    assertClose('VAE encoder, mean', data.subarray(0, data.length / 2), fixture.float32('mean'), TOLERANCE);
    assertClose(
      'VAE encoder, log variance',
      data.subarray(data.length / 2),
      fixture.float32('logvar'),
      TOLERANCE,
    );
  });
});

describe('the UNet equals diffusers', () => {
  const fixture = loadFixture('unet');
  const text = {
    data: fixture.float32('encoder_hidden_states'),
    shape: fixture.shape('encoder_hidden_states'),
  };
  const timestep = { data: BigInt64Array.of(1n, 1n).fill(BigInt(fixture.about.timestep)), shape: [2] };

  for (const motion of ['v1', 'v2', 'v3'] as const) {
    describe(`with a ${motion} motion module`, () => {
      let tiny: TinyEngine;
      before(async () => {
        tiny = await tinyEngine({ motion, roles: ['unet'] });
      });
      after(() => tiny.engine.close());

      for (const compat of ['original', 'diffusers'] as const) {
        for (const size of SIZES) {
          it(`compat ${compat}, latents ${size}`, async () => {
            const name = `latents.${size}`;
            const latents = { data: fixture.float32(name), shape: fixture.shape(name) };
            const overFrames = compat === 'original' && motion === 'v1' ? 1 : 0;
            const motionOverFrames = compat === 'diffusers' ? 1 : 0;
            const inputs = [latents, timestep, text];
            const { data } = await tiny.engine.forward('unet', inputs, [overFrames, motionOverFrames]);
            const expected = fixture.float32(`${motion}.${compat}.${size}`);
            assertClose(`UNet ${motion}, ${compat}, ${size}`, data, expected, TOLERANCE);
          });
        }
      }
    });
  }

  describe('without a motion module, or with one of scale 0, which is plain Stable Diffusion', () => {
    let tiny: TinyEngine;
    let still: TinyEngine;
    before(async () => {
      tiny = await tinyEngine({ roles: ['unet'] });
      still = await tinyEngine({ roles: ['unet'], motion: 'v2', motionScale: 0 });
    });
    after(() => still.engine.close());
    after(() => tiny.engine.close());

    for (const frames of [1, 3]) {
      for (const size of SIZES) {
        it(`${frames} frames, latents ${size}`, async () => {
          const name = `latents.${size}`;
          const latents = firstFrames(fixture.float32(name), fixture.shape(name), frames);
          const expected = fixture.float32(`none.${frames}.${size}`);
          const inputs = [latents, timestep, text];
          const { data } = await tiny.engine.forward('unet', inputs, [0, 0]);
          assertClose(`UNet, ${frames} frames, ${size}`, data, expected, TOLERANCE);
          const scaled = await still.engine.forward('unet', inputs, [0, 0]);
          assertClose(`UNet, motion scale 0, ${frames} frames, ${size}`, scaled.data, expected, TOLERANCE);
        });
      }
    }
  });
});
