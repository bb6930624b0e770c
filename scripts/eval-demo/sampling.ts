/** Samples clips in batches, with and without the motion module. */
import type { AnimateDiff } from '../../lib/index.ts';
import type { RgbFrames } from '../../lib/output/frames.ts';
import { caption, type Task } from './captions.ts';
import type { Model } from './model.ts';

/** Frames of a clip that is put together from single pictures. */
const FRAMES = 16;

function* batches<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

/** One clip per task, in order. The batch only decides the speed: each clip has its own seed. */
export async function* sampleClips(
  pipe: AnimateDiff,
  { settings }: Pick<Model, 'settings'>,
  tasks: readonly Task[],
  batch: number,
): AsyncGenerator<RgbFrames> {
  for (const part of batches(tasks, batch)) {
    const clips = await pipe.generate({
      ...settings,
      prompt: part.map(caption),
      seed: part.map(({ seed }) => seed),
    });
    for (const { data, width, height, frameCount } of clips)
      yield { data, width, height, frames: frameCount };
  }
}

/**
 * What the model makes without its motion module: as many single pictures as a clip has frames, each with noise
 * of its own. (One picture shown 16 times would stand still, and be called smooth.)
 */
export async function* sampleWithoutMotion(
  pipe: AnimateDiff,
  { settings }: Pick<Model, 'settings'>,
  tasks: readonly Task[],
): AsyncGenerator<RgbFrames> {
  for (const task of tasks) {
    const pictures = await pipe.generate({
      ...settings,
      frames: 1,
      prompt: Array.from({ length: FRAMES }, () => caption(task)),
      seed: Array.from({ length: FRAMES }, (_, i) => task.seed * 1000 + i),
    });
    const [first] = pictures;
    if (first === undefined) return;
    const data = new Uint8Array(FRAMES * first.data.length);
    for (const [i, picture] of pictures.entries()) data.set(picture.data, i * first.data.length);
    yield { data, width: first.width, height: first.height, frames: FRAMES };
  }
}
