import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type GraphFamily, graphFamilies } from '../../lib/graphs.ts';
import type { GenerateOptions } from '../../lib/options.ts';
import { buildRequest } from '../../lib/request.ts';
import { planEmbeddings } from '../../lib/weights/embeddings.ts';
import { type TinyEngine, tinyEngine } from '../support/engine.ts';
import { REFERENCE_FOLDER } from '../support/family.ts';
import { loadFixture } from '../support/load-fixture.ts';
import { writeSafetensors } from '../support/safetensors-writer.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { floatTensor } from '../support/tensor.ts';
import { assertClose } from '../support/tolerance.ts';

const TOLERANCE = 1e-5;
const FRAMES = 5;

describe('text embeddings equal transformers and diffusers', () => {
  const fixture = loadFixture('prompts');
  const family = graphFamilies().find(({ name }) => name === 'tiny') as GraphFamily;
  const motion = { version: 'v2', maxFrames: 32 } as const;
  let tiny: TinyEngine;
  before(async () => {
    tiny = await tinyEngine({ motion: 'v2' });
  });
  after(() => tiny.engine.close());

  async function embeddings(options: GenerateOptions, triggers = {}): Promise<Float32Array> {
    const size = { width: 8, height: 8, steps: 1, guidanceScale: 1, seed: 1 };
    const { native } = buildRequest(
      { frames: 1, ...size, ...options },
      { compat: 'original', family, motion, ...triggers },
    );
    const { text } = await tiny.engine.generate({ ...native, keepFloats: true });
    assert.ok(text !== undefined);
    return text.data;
  }

  for (const [index, prompt] of fixture.about.prompts.entries()) {
    it(`of '${prompt.slice(0, 40)}'`, async () => {
      const expected = fixture.float32(`case.${index}`);
      assertClose(`prompt ${index}`, await embeddings({ prompt }), expected, TOLERANCE);
    });
  }

  it('with clipSkip 2', async () => {
    const data = await embeddings({ prompt: 'a cat', clipSkip: 2 });
    assertClose('clipSkip 2', data, fixture.float32('clip_skip_2'), TOLERANCE);
  });

  it('on the way between key frames', async () => {
    const data = await embeddings({ prompt: { 1: 'a cat', 3: 'a dog' }, frames: FRAMES });
    assertClose('prompt travel', data, fixture.float32('travel.lerp'), TOLERANCE);
  });

  it('are the same bits in both syntaxes for a prompt without syntax', async () => {
    const plain = await embeddings({ prompt: 'a red fox, at sea', promptSyntax: 'plain' });
    assert.deepEqual(await embeddings({ prompt: 'a red fox, at sea' }), plain);
  });

  it('on the great circle between key frames', async () => {
    const prompt = { 0: 'a cat', 4: 'one two three, old oak, blue sea' };
    const data = await embeddings({ prompt, frames: FRAMES, promptInterpolation: 'slerp' });
    assertClose('slerp', data, fixture.float32('travel.slerp'), TOLERANCE);
  });

  const safetensors = path.join(temporaryFolder(), 'style.safetensors');
  const layouts = [
    ['diffusers .safetensors', safetensors],
    ['diffusers .bin', path.join(REFERENCE_FOLDER, 'embedding-diffusers.bin')],
    ['web UI .pt', path.join(REFERENCE_FOLDER, 'embedding-webui.pt')],
    ['original .pt', path.join(REFERENCE_FOLDER, 'embedding-original.pt')],
  ] as const;
  for (const [layout, file] of layouts) {
    it(`of a textual inversion with three vectors, ${layout}`, async () => {
      const vectors = () => fixture.float32('vectors');
      writeSafetensors(safetensors, [floatTensor('<fixture-style>', [3, 32], 'F32', vectors)]);
      const { vocabSize } = family.config;
      const planned = await planEmbeddings([{ path: file }], tiny.plan.plans.text_encoder, [], vocabSize);
      const recipes = planned.plan?.recipes.filter((recipe) => recipe.kind === 'copy' && recipe.appended);
      await tiny.engine.rebind('text_encoder', recipes ?? []);
      const data = await embeddings({ prompt: 'a <Fixture-STYLE> cat' }, { embeddings: planned.embeddings });
      assertClose(layout, data, fixture.float32('inversion'), TOLERANCE);
    });
  }
});
