import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NativeClips } from '../../lib/native.ts';
import { TEST_DEVICE, tinyEngine } from '../support/engine.ts';
import { requestOf, sampled } from '../support/fixture-request.ts';
import { type Fixture, loadFixture, type PipelineAbout, pipelineFixtures } from '../support/load-fixture.ts';
import { assertClose } from '../support/tolerance.ts';

const TOLERANCE = 1e-4;

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
