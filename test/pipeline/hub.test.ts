/** A pipeline whose VAE and textual inversion come from the hub. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { startHub } from '../hub/support/fake-hub.ts';
import { REFERENCE_FOLDER } from '../support/family.ts';
import { loadTiny, SMALL } from '../support/pipeline.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeVae } from '../support/tiny-model.ts';

const REQUEST = { ...SMALL, steps: 1, frames: 1, negativePrompt: 'easynegative' } as const;

describe('a VAE and a textual inversion from the hub', () => {
  const before = { ...process.env };
  after(() => {
    process.env = before;
  });

  it('give the frames of the same files on this machine', async () => {
    const folder = temporaryFolder();
    const [vae, embedding] = [path.join(folder, 'vae.safetensors'), path.join(folder, 'easynegative.pt')];
    writeVae(vae, { variant: 1 });
    copyFileSync(path.join(REFERENCE_FOLDER, 'embedding-webui.pt'), embedding);
    await using local = await loadTiny({ vae, embeddings: [embedding] });
    const expected = await local.generate(REQUEST);
    const hub = await startHub({
      'vae.safetensors': readFileSync(vae),
      'easynegative.pt': readFileSync(embedding),
    });
    Object.assign(process.env, hub.variables);
    await using pipe = await loadTiny({
      vae: 'hf:owner/repo/vae.safetensors',
      embeddings: ['hf:owner/repo/easynegative.pt'],
    });
    const clip = await pipe.generate(REQUEST);
    assert.deepEqual(clip.data, expected.data);
    assert.deepEqual(clip.parameters.embeddings, expected.parameters.embeddings);
    assert.deepEqual(pipe.info.sources, local.info.sources);
    await using plain = await loadTiny();
    assert.notDeepEqual((await plain.generate(REQUEST)).data, expected.data);
  });
});
