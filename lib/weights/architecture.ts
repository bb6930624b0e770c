/**
 * Names the architecture of a base model: a family of graphs when one fits, otherwise a known one that is
 * not supported, told by the width of its text conditioning and the channels of its first convolution.
 */
import type { CanonicalWeights } from './canonical.ts';
import { fits, type PartMatch } from './match.ts';

export interface Architecture {
  /** Name of the family, such as `sd15`, or of a known architecture, such as `sdxl`; else `unknown`. */
  readonly name: string;
  /** A family of graphs has exactly these shapes. */
  readonly supported: boolean;
}

/** Columns of `attn2.to_k.weight`, the width of the text embeddings, in architectures without graphs. */
const CONTEXT_WIDTHS: ReadonlyMap<number, string> = new Map([
  [1024, 'sd2'],
  [2048, 'sdxl'],
  [1280, 'sdxl-refiner'],
]);

/** Input channels of the first convolution, where they are not those of the latents. */
const CONDITIONED: ReadonlyMap<number, string> = new Map([
  [9, 'inpainting'],
  [8, 'pix2pix'],
]);

const TITLES: Readonly<Record<string, string>> = {
  sd15: 'Stable Diffusion 1.5',
  sd2: 'Stable Diffusion 2',
  sdxl: 'SDXL',
  'sdxl-refiner': 'SDXL refiner',
  sd3: 'Stable Diffusion 3',
  flux: 'Flux',
  'sd3-or-flux': 'Stable Diffusion 3 or Flux',
  svd: 'Stable Video Diffusion',
  cascade: 'Stable Cascade',
};

/** Architecture of the UNet in a file; `match` is its comparison with the best family. */
export function unetArchitecture({ parts }: CanonicalWeights, match: PartMatch | undefined): Architecture {
  if (fits(match) && match.mismatched.length === 0) return { name: match.family.name, supported: true };
  const width = contextWidth(parts.unet);
  const isFamily = fits(match) && width === familyContextWidth(match);
  const base = isFamily ? match.family.name : CONTEXT_WIDTHS.get(width ?? 0);
  const condition = CONDITIONED.get(parts.unet.get('conv_in.weight')?.shape[1] ?? 0);
  if (base === undefined) return { name: 'unknown', supported: false };
  return condition === undefined
    ? { name: base, supported: isFamily }
    : { name: `${base}-${condition}`, supported: false };
}

/** Readable name: `Stable Diffusion 1.5 inpainting`. */
export function architectureTitle(name: string): string {
  const [base = name, condition] = splitCondition(name);
  return [TITLES[base] ?? base, condition].filter(Boolean).join(' ');
}

function splitCondition(name: string): readonly (string | undefined)[] {
  const match = /^(.+)-(inpainting|pix2pix)$/.exec(name);
  return match === null ? [name] : [match[1], match[2]];
}

const CROSS_ATTENTION_KEY = /\.attn2\.to_k\.weight$/;

function contextWidth(unet: CanonicalWeights['parts']['unet']): number | undefined {
  for (const [name, { shape }] of unet) if (CROSS_ATTENTION_KEY.test(name)) return shape[1];
  return undefined;
}

function familyContextWidth({ family }: PartMatch): number | undefined {
  const parameters = Object.entries(family.graphs.unet.parameters);
  return parameters.find(([name]) => CROSS_ATTENTION_KEY.test(name))?.[1][1];
}
