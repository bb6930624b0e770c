/** The engine's request that a fixture of a whole clip was made with, and the pictures that it keeps. */
import type { NativeRequest } from '../../lib/native.ts';
import { nativeScheduler, resolveScheduler } from '../../lib/scheduler.ts';
import type { Fixture, PipelineAbout } from './load-fixture.ts';

/** Everything that the reference was given, with the float tensors kept. */
export function requestOf(fixture: Fixture<PipelineAbout>): NativeRequest {
  const { about } = fixture;
  const { eta, timestepSpacing, betaSchedule, predictionType, setAlphaToOne, compat } = about;
  const scheduler = resolveScheduler(
    about.scheduler ?? { name: 'ddim', eta, timestepSpacing, betaSchedule, predictionType, setAlphaToOne },
    { compat },
  );
  return {
    batch: about.prompts.length,
    frames: about.frames,
    width: about.width,
    height: about.height,
    vaeScaleFactor: 8,
    vaeScalingFactor: 0.18215,
    latentChannels: 4,
    chunks: 1,
    tokens: 77,
    prompts: { ids: fixture.int32('ids'), texts: about.prompts.length },
    negatives: { ids: fixture.int32('negative_ids'), texts: about.prompts.length },
    layersSkipped: 0,
    interpolation: 0,
    guidanceScale: about.guidanceScale,
    guidanceEnd: 1,
    deepCache: 1,
    scheduler: nativeScheduler(scheduler, about.steps),
    seeds: BigUint64Array.from(about.seeds, BigInt),
    normOverFrames: about.compat === 'original' && about.motion === 'v1',
    motionNormOverFrames: about.compat === 'diffusers',
    preview: false,
    keepFloats: true,
  };
}

/** Every 7th pixel of both sides, as the fixtures keep them. */
export function sampled(pictures: Float32Array, { frames, height, width, prompts }: PipelineAbout): number[] {
  const values: number[] = [];
  for (let frame = 0; frame < frames * prompts.length; frame += 1) {
    for (let y = 0; y < height; y += 7) {
      for (let x = 0; x < width; x += 7) {
        const start = ((frame * height + y) * width + x) * 3;
        values.push(...pictures.subarray(start, start + 3));
      }
    }
  }
  return values;
}
