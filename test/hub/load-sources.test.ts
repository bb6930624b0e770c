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
  loras: ['hf:owner/repo/a.safetensors', { path: '/models/b.safetensors', scale: 0.5 }],
  device: 'cpu',
};

describe('the sources of options', () => {
  it('are listed in the order of loading', () => {
    assert.deepEqual(listLoadSources(OPTIONS), [
      'hf:owner/repo',
      'models/toonyou.safetensors',
      'hf:owner/repo/mm.ckpt',
      'hf:owner/repo/a.safetensors',
      '/models/b.safetensors',
    ]);
    assert.deepEqual(listLoadSources({}), []);
  });

  it('become paths, while paths and everything else stay as they are', async () => {
    const hub = await startHub(
      diffusersRepo({ 'mm.ckpt': Buffer.alloc(9), 'a.safetensors': Buffer.alloc(8) }),
    );
    const resolved: LoadOptions = await resolveLoadSources(OPTIONS, { environment: hub.environment });
    const snapshot = path.join(hub.cacheFolder, 'models--owner--repo', 'snapshots', COMMIT);
    assert.deepEqual(resolved, {
      base: snapshot,
      checkpoint: 'models/toonyou.safetensors',
      motionModule: { path: path.join(snapshot, 'mm.ckpt'), version: 'v3' },
      loras: [path.join(snapshot, 'a.safetensors'), { path: '/models/b.safetensors', scale: 0.5 }],
      device: 'cpu',
    } satisfies LoadOptions);
    assert.equal(OPTIONS.base, 'hf:owner/repo');
  });

  it('that are all paths cost nothing', async () => {
    const options = { base: 'missing.safetensors', motionModule: 'mm.ckpt' };
    assert.deepEqual(await resolveLoadSources(options), options);
  });
});
