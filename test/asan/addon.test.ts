/** Runs against a build with AddressSanitizer (`npm run test:asan`), which ends the process at the first fault. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { AnimateDiff } from '../../lib/animatediff.ts';
import { loadTiny, SMALL } from '../support/pipeline.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

it('the sanitizer is in this process', () => {
  assert.match(readFileSync('/proc/self/maps', 'utf8'), /libasan/);
});

it('load, generate, abort, bake, load the archive, close: no memory fault', async () => {
  const pipe = await loadTiny();
  const clip = await pipe.generate({ ...SMALL, preview: true, onProgress: () => undefined });
  assert.equal(clip.frameCount, 4);
  const controller = new AbortController();
  const onProgress = () => controller.abort();
  await assert.rejects(pipe.generate({ ...SMALL, steps: 50, signal: controller.signal, onProgress }));
  await assert.rejects(pipe.generate({ ...SMALL, steps: 1000 }), { code: 'ERR_INVALID_ARGUMENT' });
  const archive = path.join(temporaryFolder(), 'baked.pt');
  await pipe.bake(archive);
  const running = assert.rejects(pipe.generate({ ...SMALL, steps: 50 }), { code: 'ERR_DISPOSED' });
  await pipe.close();
  await running;
  const baked = await AnimateDiff.load({ base: archive, device: 'cpu', dtype: 'float32', threads: 1 });
  assert.deepEqual((await baked.generate(SMALL)).data, clip.data);
  await baked.close();
});
