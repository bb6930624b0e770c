/**
 * Widths of a family of networks (`tiny`, `demo`, `sd15`), read from the same JSON files as the Python scripts that
 * make the reference outputs. The sections are the `config.json` files of a diffusers folder.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the reference fixtures. */
export const REFERENCE_FOLDER = path.resolve(
  path.dirname(fileURLToPath(import.meta.url)),
  '../fixtures/reference',
);

export type FamilyName = 'tiny' | 'demo' | 'sd15';

/** Generations of motion modules that have a configuration of their own. */
export type MotionGeneration = 'v1' | 'v2' | 'v3';

export interface UNetConfig {
  readonly in_channels: number;
  readonly out_channels: number;
  readonly down_block_types: readonly string[];
  readonly up_block_types: readonly string[];
  readonly block_out_channels: readonly number[];
  readonly layers_per_block: number;
  readonly cross_attention_dim: number;
}

export interface MotionConfig {
  readonly block_out_channels: readonly number[];
  readonly motion_layers_per_block: number;
  readonly motion_max_seq_length: number;
  readonly use_motion_mid_block: boolean;
}

export interface VaeConfig {
  readonly in_channels: number;
  readonly out_channels: number;
  readonly block_out_channels: readonly number[];
  readonly layers_per_block: number;
  readonly latent_channels: number;
}

export interface TextEncoderConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly max_position_embeddings: number;
  readonly vocab_size: number;
}

export interface Family {
  readonly family: FamilyName;
  readonly unet: UNetConfig;
  readonly motion: Readonly<Record<MotionGeneration, MotionConfig>>;
  readonly vae: VaeConfig;
  readonly text_encoder: TextEncoderConfig;
  readonly scheduler: Readonly<Record<string, unknown>>;
}

/** The configurations of a family. */
export function readFamily(name: FamilyName): Family {
  return JSON.parse(readFileSync(path.join(REFERENCE_FOLDER, `${name}.json`), 'utf8')) as Family;
}
