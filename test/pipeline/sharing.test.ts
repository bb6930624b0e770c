/**
 * Pipelines of one process with the same files hold one copy of their weights, and notice nothing of each other; with
 * `ANIMATEDIFF_TEST_DEVICE=cuda` on a device.
 */
import assert from 'node:assert/strict';
import { copyFileSync, renameSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiff } from '../../lib/animatediff.ts';
import type { LoadOptions } from '../../lib/options.ts';
import { PACKAGE_ROOT } from '../../lib/package-info.ts';
import { CONVOLUTIONS, MOTION, TEXT, TRANSFORMERS, writeLora } from '../lora/support/adapters.ts';
import { changedParameters, parametersOf } from '../lora/support/merged.ts';
import { TEST_DEVICE } from '../support/engine.ts';
import { loadTiny as loadTinyOnCpu, SMALL, tinyFiles } from '../support/pipeline.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeCheckpoint } from '../support/tiny-model.ts';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);

const LAYERS = [...TRANSFORMERS, ...CONVOLUTIONS, ...TEXT, ...MOTION];
const STYLE = writeLora(at('style.safetensors'), 'kohya', {
  layers: LAYERS.filter((layer) => !MOTION.includes(layer)),
});

const demo = (name: string) => path.join(PACKAGE_ROOT, 'models', 'demo', name);
const loadDemo = (dtype: 'float32' | 'bfloat16' = 'float32') =>
  AnimateDiff.load({
    base: demo('base.safetensors'),
    motionModule: demo('motion_module.safetensors'),
    device: TEST_DEVICE,
    dtype,
    threads: 1,
  });
const loadTiny = (options: Partial<LoadOptions>) => loadTinyOnCpu({ device: TEST_DEVICE, ...options });

async function held(pipe: AnimateDiff): Promise<number> {
  const { deviceHeld, hostHeld } = await pipe.memory();
  return TEST_DEVICE === 'cpu' ? hostHeld : deviceHeld;
}

const CIRCLE = { prompt: 'a red circle', frames: 2, width: 64, height: 64, steps: 3, seed: 1 } as const;

describe('several pipelines in a process', () => {
  it('hold the same weights once', async () => {
    const first = await loadDemo();
    const one = await held(first);
    assert.ok(one > 2 ** 23, `${one} bytes are held by one`);
    const second = await loadDemo();
    console.log(`held by one: ${one}, by two: ${await held(second)}`);
    assert.ok((await held(second)) - one < one / 50);
    // Another element type is another copy.
    const other = await loadDemo('bfloat16');
    assert.ok((await held(other)) - one > one / 3);
    const clip = await first.generate(CIRCLE);
    await Promise.all([first.close(), other.close()]);
    assert.deepEqual((await second.generate(CIRCLE)).data, clip.data);
    await second.close();
  });

  // On a device, LibTorch's libraries take memory for each thread that has called them.
  it('hold them once after they were used', { skip: TEST_DEVICE !== 'cpu' }, async () => {
    const first = await loadDemo();
    await first.generate(CIRCLE);
    const one = await held(first);
    const second = await loadDemo();
    await second.generate(CIRCLE);
    assert.ok((await held(second)) - one < one / 50);
    await first.close();
    assert.ok(Math.abs((await held(second)) - one) < one / 50);
    await second.close();
  });

  it('load at the same time', async () => {
    const pipes = await Promise.all([loadDemo(), loadDemo(), loadDemo()]);
    const clips = await Promise.all(pipes.map((pipe) => pipe.generate(CIRCLE)));
    for (const clip of clips) assert.deepEqual(clip.data, clips[0]?.data);
    await Promise.all(pipes.map((pipe) => pipe.close()));
  });

  for (const dtype of ['float32', 'bfloat16', 'float16'] as const) {
    it(`have their own LoRAs, in ${dtype}`, async () => {
      const [first, second] = [await loadTiny({ dtype }), await loadTiny({ dtype })];
      const plain = await first.generate(SMALL);
      await second.setLoras([{ path: STYLE, scale: 0.5 }]);
      const styled = await second.generate(SMALL);
      assert.notDeepEqual(styled.data, plain.data);
      assert.deepEqual((await first.generate(SMALL)).data, plain.data);
      const third = await loadTiny({ dtype, loras: [{ path: STYLE, scale: 0.5 }] });
      assert.deepEqual((await third.generate(SMALL)).data, styled.data);
      await Promise.all([second.setLoras([]), first.setLoras([{ path: STYLE, scale: 0.5 }])]);
      assert.deepEqual((await second.generate(SMALL)).data, plain.data);
      assert.deepEqual((await first.generate(SMALL)).data, styled.data);
      await Promise.all([first.close(), third.close()]);
      assert.deepEqual((await second.generate(SMALL)).data, plain.data);
      const fresh = await loadTiny({ dtype });
      const [restored, read] = [
        await parametersOf(second, at('a.pt')),
        await parametersOf(fresh, at('b.pt')),
      ];
      assert.deepEqual(changedParameters(restored, read), []);
      await Promise.all([second.close(), fresh.close()]);
    });
  }

  it('do not share a file that was replaced by another one of the same name, size and time', async () => {
    const file = at('replaced.safetensors');
    copyFileSync(tinyFiles().base, file);
    const first = await loadTiny({ base: file });
    const before = await first.generate(SMALL);
    writeCheckpoint(at('other.safetensors'), { variant: 1 });
    utimesSync(at('other.safetensors'), new Date(0), new Date(0));
    utimesSync(file, new Date(0), new Date(0));
    renameSync(at('other.safetensors'), file);
    const second = await loadTiny({ base: file });
    assert.notDeepEqual((await second.generate(SMALL)).data, before.data);
    assert.deepEqual((await first.generate(SMALL)).data, before.data);
    await Promise.all([first.close(), second.close()]);
  });
});
