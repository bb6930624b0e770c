/** Writes the random model, two LoRAs for it and the inputs of its UNet: real layouts and sizes, nothing fetched. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { attentionLayers, writeLora } from '../test/lora/support/adapters.ts';
import { type Family, type FamilyName, readFamily } from '../test/support/family.ts';
import { elementCount, seededTensor } from '../test/support/seeded-weights.ts';
import { writeCheckpoint, writeMotionModule } from '../test/support/tiny-model.ts';
import type { ModelFiles } from './job.ts';

/** What most published LoRAs have. */
const RANK = 16;

/** Conditional and unconditional half, as guidance needs them. */
export const GUIDANCE_BATCH = 2;

const TOKENS = 77;

/** Pixels per latent: each level of the VAE but the last halves. */
export function latentScale({ vae }: Pick<Family, 'vae'>): number {
  return 2 ** (vae.block_out_channels.length - 1);
}

/** Files that are there already stay: writing 3 GB takes a minute. */
export function writeModel(folder: string, family: FamilyName): ModelFiles {
  mkdirSync(folder, { recursive: true });
  const file = (name: string) => path.join(folder, `${family}-${name}`);
  const checkpoint = file('base.safetensors');
  const motionModule = file('mm_v2.ckpt');
  const loras = [file('lora-1.safetensors'), file('lora-2.safetensors')] as const;
  if (!existsSync(checkpoint)) writeCheckpoint(checkpoint, { family, dtype: 'F16' });
  if (!existsSync(motionModule)) writeMotionModule(motionModule, { family, dtype: 'F16', version: 'v2' });
  const layers = attentionLayers(family);
  for (const [variant, lora] of loras.entries()) {
    if (!existsSync(lora))
      writeLora(lora, 'kohya', { layers, rank: RANK, alpha: RANK / 2, dtype: 'F16', variant });
  }
  return { checkpoint, motionModule, loras };
}

/** Inputs of unit variance for one UNet call with guidance. Returns their folder. */
export function writeInputs(
  folder: string,
  family: FamilyName,
  { size, frames }: { readonly size: number; readonly frames: number },
): string {
  const config = readFamily(family);
  const side = size / latentScale(config);
  const shapes = {
    latents: [GUIDANCE_BATCH, config.unet.in_channels, frames, side, side],
    text: [GUIDANCE_BATCH, TOKENS, config.unet.cross_attention_dim],
  };
  const inputs = path.join(folder, `inputs-${family}-${size}-${frames}`);
  mkdirSync(inputs, { recursive: true });
  for (const [name, shape] of Object.entries(shapes)) {
    const values = seededTensor(`${name}.weight`, [elementCount(shape)]);
    writeFileSync(path.join(inputs, `${name}.f32`), new Uint8Array(values.buffer));
  }
  return inputs;
}
