/** A whole clip from a prompt of more than 75 tokens and without the last layer of the text encoder. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type GraphFamily, graphFamilies } from '../../lib/graphs.ts';
import { buildRequest } from '../../lib/request.ts';
import { tinyEngine } from '../support/engine.ts';
import { sampled } from '../support/fixture-request.ts';
import { loadFixture } from '../support/load-fixture.ts';
import { assertClose } from '../support/tolerance.ts';

const TOLERANCE = 1e-4;

describe('a clip from a long prompt equals diffusers', () => {
  it('with the embeddings of two chunks on both sides, and clipSkip 2', async () => {
    const fixture = loadFixture('long-prompt');
    const { prompts, negativePrompts, seeds, frames, width, height, steps, guidanceScale, clipSkip } =
      fixture.about;
    const family = graphFamilies().find(({ name }) => name === 'tiny') as GraphFamily;
    const size = { frames, width, height, steps, guidanceScale };
    const { native } = buildRequest(
      { prompt: prompts, negativePrompt: negativePrompts, seed: seeds[0], clipSkip, ...size },
      { compat: 'original', family, motion: { version: 'v2', maxFrames: 32 } },
    );
    assert.deepEqual([native.chunks, native.layersSkipped], [2, 1]);
    const { engine } = await tinyEngine({ motion: 'v2' });
    const { latents, pictures } = await engine.generate({ ...native, keepFloats: true });
    await engine.close();
    assert.ok(latents !== undefined && pictures !== undefined);
    assertClose('long prompt, latents', latents.data, fixture.float32('latents.final'), TOLERANCE);
    const expected = fixture.float32('frames.sample');
    assertClose('long prompt, pictures', sampled(pictures.data, fixture.about), expected, TOLERANCE);
  });
});
