/**
 * Finds the object in every frame: what is not of the background's colours, in one piece, with what it
 * encloses. Works for objects that never move, since it does not compare frames.
 */
import type { RgbFrames } from '../../../lib/output/frames.ts';
import { frameView } from '../../../lib/output/frames.ts';
import type { Setting } from './background.ts';
import { backgroundSegments, SCENERIES, type Segment, type Style, segmentDistance } from './palette.ts';
import { erode, findRegions, type Region } from './regions.ts';

/** How far a pixel's colour is from the background's (0–255) where the object begins. */
interface Threshold {
  readonly least: number;
  readonly most: number;
  /** Between the two, it is this share of the distance of the picture's most foreign pixels. */
  readonly share: number;
}

/** Crayon lets the background through and has no hard outline; the light around a neon sign is not its object. */
const THRESHOLDS: Readonly<Record<Style, Threshold>> = {
  normal: { least: 24, most: 28, share: 0.3 },
  neon: { least: 60, most: 255, share: 0.27 },
  crayon: { least: 13, most: 30, share: 0.33 },
};
/** Share of the pixels that are the most foreign ones. */
const FOREIGN = 0.01;
/** The tubes of a neon sign are brighter than this share of the most foreign pixels, the pane that they light is not. */
const TUBE = 0.58;
/** Pixels by which the glow of a neon tube reaches beyond the edge that it follows. */
const GLOW = 1;
/** An enclosed region is a hole when its mean colour is this near to the background's. */
const HOLE = 9;
/** Smallest object, as a share of the picture. */
const SMALLEST = 0.004;

/** The object in one frame. Lengths are in picture heights. */
export interface Silhouette {
  /** [height, width], 1 inside. */
  readonly mask: Uint8Array;
  /** Centre of gravity. */
  readonly x: number;
  readonly y: number;
  /** Square root of the area. */
  readonly scale: number;
  /** Part of it may be outside of the picture. */
  readonly cut: boolean;
}

function distances(frame: Uint8Array, segments: readonly Segment[]): Float32Array {
  const field = new Float32Array(frame.length / 3);
  for (let i = 0; i < field.length; i += 1) {
    const red = frame[3 * i] as number;
    const green = frame[3 * i + 1] as number;
    const blue = frame[3 * i + 2] as number;
    let nearest = Number.POSITIVE_INFINITY;
    for (const segment of segments) {
      nearest = Math.min(nearest, segmentDistance(red, green, blue, segment));
    }
    field[i] = nearest;
  }
  return field;
}

function sum(field: Float32Array, { pixels }: Region): number {
  return pixels.reduce((total, pixel) => total + (field[pixel] ?? 0), 0);
}

/** The piece that differs most from the background, all its pixels together. */
function mainRegion(mask: Uint8Array, width: number, field: Float32Array): Region | undefined {
  const regions = findRegions(mask, width, 1).map((region) => ({ region, weight: sum(field, region) }));
  return regions.sort((a, b) => b.weight - a.weight)[0]?.region;
}

function meanColour(frame: Uint8Array, { pixels }: Region): [number, number, number] {
  const total = [0, 0, 0];
  for (const pixel of pixels) {
    for (let c = 0; c < 3; c += 1) total[c] = (total[c] ?? 0) + (frame[3 * pixel + c] ?? 0);
  }
  return total.map((value) => value / pixels.length) as [number, number, number];
}

/**
 * Fills what the object encloses, alone or together with the picture's edge, except where the background shows
 * through. The largest region is what surrounds the object.
 */
function fillEnclosed(mask: Uint8Array, width: number, isHole: (region: Region) => boolean): void {
  const regions = findRegions(mask, width, 0).sort((a, b) => b.pixels.length - a.pixels.length);
  for (const region of regions.slice(1)) {
    if (isHole(region)) continue;
    for (const pixel of region.pixels) mask[pixel] = 1;
  }
}

/** A sign and what its outermost piece encloses, without what the tubes inside of it enclose. */
function fillSign(main: Region, field: Float32Array, tubeLevel: number, width: number): Uint8Array {
  const outer = new Uint8Array(field.length);
  for (const pixel of main.pixels) outer[pixel] = 1;
  fillEnclosed(outer, width, () => false);
  const object = erode(outer, width, GLOW);
  const bright = Uint8Array.from(field, (value, pixel) => (value > tubeLevel ? (outer[pixel] ?? 0) : 0));
  const tubes = findRegions(bright, width, 1).sort((a, b) => b.pixels.length - a.pixels.length);
  for (const tube of tubes.slice(1)) {
    const inner = new Uint8Array(field.length);
    for (const pixel of tube.pixels) inner[pixel] = 1;
    fillEnclosed(inner, width, () => false);
    // What encloses nothing is a bright spot of the pane.
    const enclosed = inner.reduce((area, value) => area + value, -tube.pixels.length);
    if (enclosed < 0.03 * main.pixels.length) continue;
    const hole = erode(inner, width, GLOW);
    for (const [pixel, value] of hole.entries()) if (value === 1) object[pixel] = 0;
  }
  return object;
}

function measure(mask: Uint8Array, width: number): Silhouette | undefined {
  const height = mask.length / width;
  let [area, x, y, edge] = [0, 0, 0, 0];
  for (const [pixel, inside] of mask.entries()) {
    if (inside === 0) continue;
    const [column, row] = [pixel % width, Math.floor(pixel / width)];
    area += 1;
    x += column + 0.5;
    y += row + 0.5;
    if (column === 0 || row === 0 || column === width - 1 || row === height - 1) edge += 1;
  }
  if (area < SMALLEST * mask.length) return undefined;
  return {
    mask,
    x: x / area / height,
    y: y / area / height,
    scale: Math.sqrt(area) / height,
    cut: edge > 2,
  };
}

/** How far the most foreign pixels are from the background. */
function mostForeign(field: Float32Array): number {
  return Float32Array.from(field).sort()[Math.floor((1 - FOREIGN) * field.length)] ?? 0;
}

function findObject(frame: Uint8Array, width: number, style: Style, segments: readonly Segment[]) {
  const field = distances(frame, segments);
  const foreign = mostForeign(field);
  const { least, most, share } = THRESHOLDS[style];
  const begin = Math.min(most, Math.max(least, share * foreign));
  const mask = Uint8Array.from(field, (value) => (value > begin ? 1 : 0));
  const main = mainRegion(mask, width, field);
  if (main === undefined) return undefined;
  if (style === 'neon') return measure(fillSign(main, field, TUBE * foreign, width), width);
  const object = new Uint8Array(mask.length);
  for (const pixel of main.pixels) object[pixel] = 1;
  fillEnclosed(object, width, (region) => {
    if (region.pixels.length < 0.03 * main.pixels.length) return false;
    const [red, green, blue] = meanColour(frame, region);
    return Math.min(...segments.map((segment) => segmentDistance(red, green, blue, segment))) < HOLE;
  });
  return measure(object, width);
}

/** The object in each frame, `undefined` where there is none. */
export function findSilhouettes(
  clip: RgbFrames,
  { background, style }: Pick<Setting, 'background' | 'style'>,
): (Silhouette | undefined)[] {
  const scenery = SCENERIES[background];
  if (scenery === undefined) throw new RangeError(`No such background: ${background}`);
  const segments = backgroundSegments(scenery, style);
  return Array.from({ length: clip.frames }, (_, index) =>
    findObject(frameView(clip, index), clip.width, style, segments),
  );
}
