/** Textual inversions of a whole pipeline: loading, notices, metadata, baked archives, refusals. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { loadTiny, SMALL } from '../support/pipeline.ts';
import { writeSafetensors } from '../support/safetensors-writer.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { floatTensor } from '../support/tensor.ts';

const folder = temporaryFolder();

/** Vectors that no token has. */
function writeEmbedding(name: string, shape: readonly number[], tensor = 'emb_params'): string {
  const file = path.join(folder, name);
  const count = shape.reduce((product, size) => product * size, 1);
  const values = () => Float32Array.from({ length: count }, (_, index) => Math.sin(index + 1));
  writeSafetensors(file, [floatTensor(tensor, shape, 'F32', values)]);
  return file;
}

const IMAGE = { ...SMALL, steps: 1, frames: 1, prompt: 'a cat', negativePrompt: 'EasyNegative' } as const;

describe('a pipeline with a textual inversion', () => {
  it('uses it by the name of its file, and keeps it in a baked archive', async () => {
    const baked = path.join(folder, 'baked.pt');
    await using plain = await loadTiny();
    await using pipe = await loadTiny({ embeddings: [writeEmbedding('easynegative.safetensors', [3, 32])] });
    const clip = await pipe.generate(IMAGE);
    assert.notDeepEqual(clip.data, (await plain.generate(IMAGE)).data);
    const applied = [{ file: 'easynegative.safetensors', triggers: ['easynegative'], vectors: 3 }];
    assert.deepEqual(clip.parameters.embeddings, applied);
    assert.deepEqual(pipe.notices, []);
    await assert.rejects(pipe.bake(path.join(folder, 'baked.safetensors')), {
      code: 'ERR_INVALID_ARGUMENT',
      message: /no place for easynegative\.safetensors/,
    });
    await pipe.bake(baked);
    await using again = await loadTiny({ base: baked, motionModule: undefined });
    assert.deepEqual((await again.generate(IMAGE)).data, clip.data);
    assert.deepEqual(again.info.sources.embeddings, applied);
  });

  it('changes nothing where its word is not used, and says so of a name without a file', async () => {
    await using plain = await loadTiny();
    await using pipe = await loadTiny({
      embeddings: [{ path: writeEmbedding('x.safetensors', [32]), token: 'zzz' }],
    });
    assert.deepEqual((await pipe.generate(SMALL)).data, (await plain.generate(SMALL)).data);
    await plain.generate(IMAGE);
    assert.deepEqual(
      plain.notices.map(({ code }) => code),
      ['embedding-not-loaded'],
    );
  });

  for (const [what, shapes, message] of [
    [
      'one for Stable Diffusion 2',
      { emb_params: [2, 1024] },
      /a textual inversion for Stable Diffusion 2 and/,
    ],
    [
      'one for SDXL',
      { clip_l: [2, 768], clip_g: [2, 1280] },
      /a textual inversion for SDXL and does not fit/,
    ],
    ['more vectors than a prompt has tokens', { emb_params: [76, 32] }, /1 to 75 vectors of width 32/],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const file = path.join(folder, `${what}.safetensors`);
      const tensors = Object.entries(shapes).map(([name, shape]) =>
        floatTensor(name, shape, 'F32', () => new Float32Array(shape[0] * shape[1])),
      );
      writeSafetensors(file, tensors);
      await assert.rejects(loadTiny({ embeddings: [file] }), { code: 'ERR_UNSUPPORTED_MODEL', message });
    });
  }

  it('refuses two with the same word', async () => {
    const embeddings = ['a', 'b'].map((name) => ({
      path: writeEmbedding(`${name}.safetensors`, [32]),
      token: 'same',
    }));
    await assert.rejects(loadTiny({ embeddings }), { code: 'ERR_INVALID_ARGUMENT' });
  });
});
