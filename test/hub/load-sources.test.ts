import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { listLoadSources, resolveLoadSources } from '../../lib/hub/load-sources.ts';
import type { LoadOptions } from '../../lib/options.ts';
import { COMMIT, diffusersRepo, startHub } from './support/fake-hub.ts';

const OPTIONS: LoadOptions = {
  base: 'hf:owner/repo',
  checkpoint: 'models/toonyou.safetensors',
  motionModule: { path: 'hf:owner/repo/mm.ckpt', version: 'v3' },
  vae: 'hf:owner/repo/vae.safetensors',
  loras: ['hf:owner/repo/a.safetensors', { path: '/models/b.safetensors', scale: 0.5 }],
  embeddings: ['hf:owner/repo/easynegative.bin', { path: 'hf:owner/repo/a.bin', token: 'a' }],
  device: 'cpu',
};

describe('the sources of options', () => {
  it('are listed in the order of loading', () => {
    assert.deepEqual(listLoadSources(OPTIONS), [
      'hf:owner/repo',
      'models/toonyou.safetensors',
      'hf:owner/repo/vae.safetensors',
      'hf:owner/repo/mm.ckpt',
      'hf:owner/repo/a.safetensors',
      '/models/b.safetensors',
      'hf:owner/repo/easynegative.bin',
      'hf:owner/repo/a.bin',
    ]);
    assert.deepEqual(listLoadSources({}), []);
  });

  it('become paths, while paths and everything else stay as they are', async () => {
    const files = ['mm.ckpt', 'a.safetensors', 'vae.safetensors', 'easynegative.bin', 'a.bin'];
    const hub = await startHub(
      diffusersRepo(Object.fromEntries(files.map((name, index) => [name, Buffer.alloc(8 + index)]))),
    );
    const resolved: LoadOptions = await resolveLoadSources(OPTIONS, { environment: hub.environment });
    const snapshot = path.join(hub.cacheFolder, 'models--owner--repo', 'snapshots', COMMIT);
    assert.deepEqual(resolved, {
      base: snapshot,
      checkpoint: 'models/toonyou.safetensors',
      motionModule: { path: path.join(snapshot, 'mm.ckpt'), version: 'v3' },
      vae: path.join(snapshot, 'vae.safetensors'),
      loras: [path.join(snapshot, 'a.safetensors'), { path: '/models/b.safetensors', scale: 0.5 }],
      embeddings: [
        path.join(snapshot, 'easynegative.bin'),
        { path: path.join(snapshot, 'a.bin'), token: 'a' },
      ],
      device: 'cpu',
    } satisfies LoadOptions);
    assert.equal(OPTIONS.base, 'hf:owner/repo');
  });

  it('that are all paths cost nothing', async () => {
    const options = { base: 'missing.safetensors', motionModule: 'mm.ckpt' };
    assert.deepEqual(await resolveLoadSources(options), options);
  });
});
