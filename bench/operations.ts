/**
 * Floating-point operations by formula: 2 for each multiplication with its addition, counted over every convolution,
 * linear layer and attention of a family. Norms and pointwise operators are left out, as in PyTorch's own counter
 * (`torch.utils.flop_counter`), with which the totals of SD 1.5 agree.
 */
import type { Family, UNetConfig, VaeConfig } from '../test/support/family.ts';
import {
  motionParameters,
  type Parameter,
  unetParameters,
  vaeParameters,
} from '../test/support/parameters.ts';
import { elementCount } from '../test/support/seeded-weights.ts';

const TOKENS = 77;

/** Images that a network sees, and the sides of their latents. */
interface Extent {
  /** Of the batch and of all frames. */
  readonly images: number;
  readonly frames: number;
  /** Latents on a side. */
  readonly side: number;
}

/** How often the latents' side is halved (or, below zero, doubled) where a parameter of a UNet works. */
function unetLevel(name: string, deepest: number): number {
  const [, part, index] = /^(down|up)_blocks\.(\d+)\./.exec(name) ?? [];
  if (part === undefined) return name.startsWith('mid_block.') ? deepest : 0;
  const level = part === 'down' ? Number(index) : deepest - Number(index);
  if (name.includes('downsamplers')) return level + 1;
  return name.includes('upsamplers') ? level - 1 : level;
}

/** The same for the decoder of a VAE, whose blocks go up from the latents. */
function decoderLevel(name: string, deepest: number): number {
  const [, index] = /^decoder\.up_blocks\.(\d+)\./.exec(name) ?? [];
  if (index !== undefined) return -Number(index) - (name.includes('upsamplers') ? 1 : 0);
  return name.startsWith('decoder.conv_out') ? -deepest : 0;
}

const positions = (side: number, level: number) => (side / 2 ** level) ** 2;

/** Rows that a weight of a UNet is multiplied with. */
function unetRows(name: string, deepest: number, { images, frames, side }: Extent): number {
  if (name.startsWith('time_embedding')) return images / frames;
  if (name.includes('time_emb_proj')) return images;
  // diffusers repeats the text for every frame.
  if (/\.attn2\.to_[kv]\./.test(name)) return images * TOKENS;
  return images * positions(side, unetLevel(name, deepest));
}

/** Queries with keys, and the weighted sum of values. */
const attention = (queries: number, keys: number, channels: number) => 4 * queries * keys * channels;

/** The attention whose output projection `name` is; 0 for all other parameters. */
function unetAttention([name, [channels = 0]]: Parameter, deepest: number, extent: Extent): number {
  if (!name.endsWith('.to_out.0.weight')) return 0;
  const { images, frames, side } = extent;
  const pixels = positions(side, unetLevel(name, deepest));
  if (name.includes('attention_blocks'))
    return (images / frames) * pixels * attention(frames, frames, channels);
  return images * attention(pixels, name.includes('.attn2.') ? TOKENS : pixels, channels);
}

const isMatrix = ([name, shape]: Parameter) => name.endsWith('.weight') && shape.length > 1;

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** One call of the UNet with a v2 motion module. `batch` counts the halves of guidance. */
export function unetOperations(
  { unet, motion }: Pick<Family, 'unet' | 'motion'>,
  { batch, frames, side }: { readonly batch: number; readonly frames: number; readonly side: number },
): number {
  const deepest = (unet satisfies UNetConfig).block_out_channels.length - 1;
  const extent: Extent = { images: batch * frames, frames, side };
  const parameters = [...unetParameters(unet), ...motionParameters(motion.v2)].filter(isMatrix);
  return sum(
    parameters.map(
      (parameter) =>
        2 * elementCount(parameter[1]) * unetRows(parameter[0], deepest, extent) +
        unetAttention(parameter, deepest, extent),
    ),
  );
}

/** Decoding some frames. */
export function decodeOperations(
  { vae }: { readonly vae: VaeConfig },
  { images, side }: Pick<Extent, 'images' | 'side'>,
): number {
  const deepest = vae.block_out_channels.length - 1;
  const decoder = vaeParameters(vae).filter(
    (parameter) => isMatrix(parameter) && /^(decoder|post_quant_conv)\b/.test(parameter[0]),
  );
  return sum(
    decoder.map(([name, shape]) => {
      const pixels = positions(side, decoderLevel(name, deepest));
      const middle = name.endsWith('.to_out.0.weight') ? attention(pixels, pixels, shape[0] ?? 0) : 0;
      return images * (2 * elementCount(shape) * pixels + middle);
    }),
  );
}
