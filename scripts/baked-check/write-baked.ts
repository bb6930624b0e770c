/** Bakes the tiny model in both layouts, and writes what its networks compute: tsx write-baked.ts FOLDER. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { AnimateDiff } from '../../lib/animatediff.ts';
import { loadModel } from '../../lib/load.ts';
import type { LoadOptions } from '../../lib/options.ts';
import { REFERENCE_FOLDER } from '../../test/support/family.ts';
import { seededTensor } from '../../test/support/seeded-weights.ts';
import { writeCheckpoint, writeMotionModule } from '../../test/support/tiny-model.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('Expected a folder.');
const base = path.join(folder, 'base.safetensors');
const motionModule = path.join(folder, 'mm_sd_v15_v2.ckpt');
writeCheckpoint(base);
writeMotionModule(motionModule, { version: 'v2' });

const options: LoadOptions = {
  base,
  motionModule,
  loras: [{ path: path.join(REFERENCE_FOLDER, 'adapter-kohya.safetensors'), scale: 0.7 }],
  compat: 'diffusers',
  device: 'cpu',
  dtype: 'float32',
  threads: 1,
};

/** Values of unit variance; Python computes the same from the same names. */
const input = (name: string, shape: readonly number[]) => ({
  data: seededTensor(name, [shape.reduce((product, size) => product * size, 1)]),
  shape,
});

await using pipe = await AnimateDiff.load(options);
for (const layout of ['ldm', 'diffusers'] as const) {
  await pipe.bake(path.join(folder, `${layout}.safetensors`), { layout });
}

const { engine } = await loadModel(options, () => {});
const ids = { data: BigInt64Array.from({ length: 77 }, (_, index) => BigInt(index * 7)), shape: [1, 77] };
const timestep = { data: BigInt64Array.of(481n), shape: [1] };
const latents = input('latents.weight', [1, 4, 5, 10, 6]);
const outputs = {
  // Motion modules take their statistics over all frames, as diffusers does.
  unet: await engine.forward('unet', [latents, timestep, input('text.weight', [1, 77, 32])], [0, 1]),
  text_encoder: await engine.forward('text_encoder', [ids], [0]),
  vae: await engine.forward('vae_decoder', [input('image.weight', [1, 4, 6, 8])]),
};
await engine.close();
for (const [name, { data }] of Object.entries(outputs)) {
  writeFileSync(
    path.join(folder, `${name}.f32`),
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  );
}
