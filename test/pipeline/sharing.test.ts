/** Pipelines of one process with the same files hold one copy of their weights, and notice nothing of each other. */
import assert from 'node:assert/strict';
import { copyFileSync, renameSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiff } from '../../lib/animatediff.ts';
import { PACKAGE_ROOT } from '../../lib/package-info.ts';
import { CONVOLUTIONS, MOTION, TEXT, TRANSFORMERS, writeLora } from '../lora/support/adapters.ts';
import { changedParameters, parametersOf } from '../lora/support/merged.ts';
import { loadTiny, SMALL, tinyFiles } from '../support/pipeline.ts';
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
    device: 'cpu',
    dtype,
    threads: 1,
  });

describe('several pipelines in a process', () => {
  it('hold the same weights once, also after they were used', async () => {
    const request = { prompt: 'a red circle', frames: 2, width: 64, height: 64, steps: 1, seed: 1 } as const;
    const first = await loadDemo();
    const alone = await first.generate(request);
    const held = (await first.memory()).hostHeld;
    assert.ok(held > 2 ** 23, `${held} bytes are held by one`);
    const second = await loadDemo();
    const clip = await second.generate(request);
    assert.deepEqual(clip.data, alone.data);
    const both = (await second.memory()).hostHeld;
    console.log(`held by one: ${held}, by two: ${both}`);
    assert.ok(both - held < held / 50);
    // Another element type is another copy.
    const other = await loadDemo('bfloat16');
    assert.ok((await other.memory()).hostHeld - both > held / 3);
    await Promise.all([first.close(), other.close()]);
    assert.ok(Math.abs((await second.memory()).hostHeld - held) < held / 50);
    assert.deepEqual((await second.generate(request)).data, alone.data);
    await second.close();
  });

  it('load at the same time', async () => {
    const pipes = await Promise.all([loadDemo(), loadDemo(), loadDemo()]);
    const request = { prompt: 'a red circle', frames: 2, width: 64, height: 64, steps: 1, seed: 1 } as const;
    const clips = await Promise.all(pipes.map((pipe) => pipe.generate(request)));
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
