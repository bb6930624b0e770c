/** Names the colour of the object: the fill inside its outline, or the light of its tube. */
import type { RgbFrames } from '../../../lib/output/frames.ts';
import { frameView } from '../../../lib/output/frames.ts';
import { COLOURS, mix, type Rgb, type Segment, type Style, segmentDistance } from './palette.ts';
import { depth, dilate } from './regions.ts';
import type { Silhouette } from './silhouette.ts';

const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];

/** Darkest and lightest of what a colour appears as. */
const APPEARANCE: Readonly<Record<Style, (colour: Rgb) => Segment>> = {
  normal: (colour) => [mix(BLACK, colour, 0.9), lighten(colour, 33)],
  neon: (colour) => [colour, mix(lighten(colour, 38), WHITE, 0.25)],
  crayon: (colour) => [mix(BLACK, colour, 0.68), mix(colour, WHITE, 0.15)],
};

function lighten(colour: Rgb, by: number): Rgb {
  return colour.map((value) => Math.min(255, value + by)) as unknown as Rgb;
}

/** Pixels below the edge where the fill begins. */
const OUTLINE = 3.4;
/** Pixels that a tube reaches beyond the edge that it follows. */
const TUBE = 2;
/** Share of the pixels that are kept, those farthest from the edge (or the brightest ones of a tube). */
const KEPT = 0.35;

function medianOf(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** How well a pixel shows the object's colour, and not at all below 0. */
function worth(frame: Uint8Array, pixel: number, deep: number, style: Style): number {
  if (style !== 'neon') return deep;
  return Math.max(frame[3 * pixel] ?? 0, frame[3 * pixel + 1] ?? 0, frame[3 * pixel + 2] ?? 0);
}

/** Typical colour of the object in one frame. */
export function objectColour(clip: RgbFrames, index: number, { mask }: Silhouette, style: Style): Rgb {
  const frame = frameView(clip, index);
  const deep = depth(mask, clip.width);
  const area = style === 'neon' ? dilate(mask, clip.width, TUBE) : mask;
  const pixels = [...area.keys()].filter((pixel) => area[pixel] === 1);
  const ranked = pixels
    .map((pixel) => ({ pixel, worth: worth(frame, pixel, Math.min(deep[pixel] ?? 0, 2 * OUTLINE), style) }))
    .sort((a, b) => b.worth - a.worth);
  const kept = ranked.slice(0, Math.max(1, Math.round(KEPT * ranked.length)));
  return [0, 1, 2].map((c) => medianOf(kept.map(({ pixel }) => frame[3 * pixel + c] ?? 0))) as unknown as Rgb;
}

/** The name of the colour that a typical one appears as. */
export function nameColour(seen: Rgb, style: Style): string {
  const ranked = Object.entries(COLOURS)
    .map(([name, colour]) => ({ name, error: segmentDistance(...seen, APPEARANCE[style](colour)) }))
    .sort((a, b) => a.error - b.error);
  return ranked[0]?.name ?? '';
}

/** Median over frames of the object's colour. */
export function medianColour(colours: readonly Rgb[]): Rgb {
  return [0, 1, 2].map((c) => medianOf(colours.map((colour) => colour[c] ?? 0))) as unknown as Rgb;
}
