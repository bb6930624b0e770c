import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NativeClips, NativeRequest } from '../../lib/native.ts';
import { nativeScheduler, resolveScheduler } from '../../lib/scheduler.ts';
import { TEST_DEVICE, tinyEngine } from '../support/engine.ts';
import { type Fixture, loadFixture, type PipelineAbout, pipelineFixtures } from '../support/load-fixture.ts';
import { assertClose } from '../support/tolerance.ts';

const TOLERANCE = 1e-4;

function requestOf(fixture: Fixture<PipelineAbout>): NativeRequest {
  const { about } = fixture;
  const { eta, timestepSpacing, betaSchedule, predictionType, setAlphaToOne, compat } = about;
  const scheduler = resolveScheduler(
    { name: 'ddim', eta, timestepSpacing, betaSchedule, predictionType, setAlphaToOne },
    { compat },
  );
  return {
    batch: about.prompts.length,
    frames: about.frames,
    width: about.width,
    height: about.height,
    vaeScaleFactor: 8,
    vaeScalingFactor: 0.18215,
    latentChannels: 4,
    tokens: 77,
    promptIds: fixture.int32('ids'),
    negativeIds: fixture.int32('negative_ids'),
    guidanceScale: about.guidanceScale,
    scheduler: nativeScheduler(scheduler, about.steps),
    seeds: BigUint64Array.from(about.seeds, BigInt),
    normOverFrames: about.compat === 'original' && about.motion === 'v1',
    motionNormOverFrames: about.compat === 'diffusers',
    preview: false,
    keepFloats: true,
  };
}

async function generate(
  fixture: Fixture<PipelineAbout>,
  dtype?: 'float16' | 'bfloat16',
): Promise<NativeClips> {
  const { motion, unetVariant } = fixture.about;
  const { engine } = await tinyEngine({ motion: motion ?? undefined, unetVariant, dtype });
  try {
    return await engine.generate(requestOf(fixture));
  } finally {
    await engine.close();
  }
}

/** Every 7th pixel of both sides, as the fixtures keep them. */
function sampled(pictures: Float32Array, { frames, height, width, prompts }: PipelineAbout): number[] {
  const values: number[] = [];
  for (let frame = 0; frame < frames * prompts.length; frame += 1) {
    for (let y = 0; y < height; y += 7) {
      for (let x = 0; x < width; x += 7) {
        const start = ((frame * height + y) * width + x) * 3;
        values.push(...pictures.subarray(start, start + 3));
      }
    }
  }
  return values;
}

describe('the whole pipeline equals diffusers', () => {
  for (const name of pipelineFixtures()) {
    it(name, async () => {
      const fixture = loadFixture(name);
      const { latents, pictures, frames } = await generate(fixture);
      assert.ok(latents !== undefined && pictures !== undefined);
      assert.deepEqual(latents.shape, fixture.shape('latents.final'));
      assertClose(`${name}, latents`, latents.data, fixture.float32('latents.final'), TOLERANCE);
      assertClose(
        `${name}, pictures`,
        sampled(pictures.data, fixture.about),
        fixture.float32('frames.sample'),
        TOLERANCE,
      );
      // A value half-way between two bytes may fall on either side.
      assertClose(`${name}, bytes`, frames.data, fixture.uint8('frames.uint8'), 1);
    });
  }
});

describe('half precision stays near the float32 reference', () => {
  const LIMITS = { bfloat16: 1e-1, float16: TEST_DEVICE === 'cuda' ? 5e-2 : 2e-2 } as const;
  for (const dtype of ['bfloat16', 'float16'] as const) {
    it(dtype, async () => {
      const fixture = loadFixture('pipeline-v2-original');
      const { pictures } = await generate(fixture, dtype);
      const expected = fixture.float32('frames.sample');
      assertClose(
        `${dtype}, pictures`,
        sampled(pictures?.data ?? new Float32Array(), fixture.about),
        expected,
        LIMITS[dtype],
      );
    });
  }
});
