/**
 * Names the model that a VAE belongs to. All VAEs of Stable Diffusion 1.x and 2.x can be exchanged. That of SDXL
 * has the same tensors in the same shapes and other values: only a diffusers config or the file's metadata tells
 * it; where neither does, it is taken for one of Stable Diffusion, and its pictures are wrong.
 */
import type { Architecture } from './architecture.ts';
import type { CanonicalWeights } from './canonical.ts';
import type { JsonObject } from './folder.ts';
import { fits, type PartMatch } from './match.ts';

/** What stands beside the tensors of a VAE. */
export interface VaeHints {
  /** `config.json` of a diffusers folder. */
  readonly config?: JsonObject;
  /** `__metadata__` of a safetensors file. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** `scaling_factor` of AutoencoderKL in SDXL; in Stable Diffusion it is 0.18215. */
const SDXL_SCALING = 0.13025;

/** Architectures of VAEs by the channels of their latents, where these are not 4. */
const LATENT_CHANNELS: ReadonlyMap<number, string> = new Map([[16, 'sd3-or-flux']]);

/** Layers over time, which Stable Video Diffusion's decoder has. */
const TEMPORAL = /\.(time_stack|time_mix_conv|temporal_res_block|time_conv_out)\b/;

/** Architecture of a file that is a VAE; `match` is its comparison with the best family. */
export function vaeArchitecture(
  { parts, unknown }: CanonicalWeights,
  match: PartMatch | undefined,
  { config = {}, metadata = {} }: VaeHints,
): Architecture {
  const foreign = (name: string): Architecture => ({ name, supported: false });
  const channels = parts.vae.get('decoder.conv_in.weight')?.shape[1];
  const other = LATENT_CHANNELS.get(channels ?? 0);
  if (other !== undefined) return foreign(other);
  if ([...parts.vae.keys(), ...unknown].some((name) => TEMPORAL.test(name))) return foreign('svd');
  const stated = metadata['modelspec.architecture'] ?? '';
  if (config.scaling_factor === SDXL_SCALING || /^stable-diffusion-xl/.test(stated)) return foreign('sdxl');
  const latents = match?.mismatched.some(({ name }) => name === 'decoder.conv_in.weight');
  return fits(match) && !latents ? { name: match.family.name, supported: true } : foreign('unknown');
}
