/** What is known about a weight file from its header. Plain data, as `inspect --json` prints it. */
import type { Part } from './canonical.ts';
import type { FileKind, Use } from './kinds.ts';
import type { MotionIdentity } from './motion-version.ts';

/** How many there are, and the first few. */
export interface Listing {
  readonly count: number;
  readonly first: readonly string[];
}

/** What a file is. */
export interface Identity {
  readonly kind: FileKind;
  /** A noun phrase: `a Stable Diffusion 1.5 checkpoint (LDM layout; UNet, VAE, text encoder)`. */
  readonly description: string;
  /** Family of graphs (`sd15`), a known architecture that is not supported (`sdxl`), or null. */
  readonly architecture: string | null;
  /** Layout of the names: of the UNet or the motion modules, or the format of a LoRA. */
  readonly layout: string | null;
  readonly holds: Readonly<Record<Part, boolean>>;
  readonly motion: MotionIdentity | null;
  /** Averaged copies of the weights, which are not used. */
  readonly emaTensors: number;
  /** Parameters that the networks in the file lack. */
  readonly missing: Listing;
  /** Parameters in another shape: `conv_in.weight [320, 9, 3, 3] instead of [320, 4, 3, 3]`. */
  readonly mismatched: Listing;
  /** Tensors that no network has a parameter for. */
  readonly unknown: Listing;
  /** Options that the file can be given for. */
  readonly usableAs: readonly Use[];
  /** Why it is usable for nothing, or for less than its kind usually is. */
  readonly reason: string | null;
}

const LISTED = 5;

/** Counts items and keeps the first few. */
export function listing(items: readonly string[]): Listing {
  return { count: items.length, first: items.slice(0, LISTED) };
}

/** `3 (a, b, c)`, `9 (a, b, c, d, e, …)` */
export function listingText({ count, first }: Listing): string {
  return `${count} (${first.join(', ')}${count > first.length ? ', …' : ''})`;
}
