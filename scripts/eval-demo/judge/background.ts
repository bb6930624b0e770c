/**
 * Names the background and, as far as its colours tell it, the style: the typical colour of the upper and of
 * the lower edge of the picture, against what every background looks like in every style.
 */
import type { RgbFrames } from '../../../lib/output/frames.ts';
import { distance, mix, type Rgb, SCENERIES, STYLES, type Style, styled } from './palette.ts';

/** Rows at the upper and the lower edge that are looked at, as shares of the height. */
const UPPER = [0, 0.14] as const;
const LOWER = [0.8, 1] as const;
/** How far from top to bottom the middles of both are. */
const DEPTHS = [0.07, 0.9] as const;

export interface Setting {
  readonly background: string;
  readonly style: Style;
  /** Distance of the two colours from those expected, 0–255. */
  readonly error: number;
}

function median(histogram: Uint32Array): number {
  const half = histogram.reduce((sum, count) => sum + count, 0) / 2;
  let below = 0;
  for (const [value, count] of histogram.entries()) {
    below += count;
    if (below >= half) return value;
  }
  return 0;
}

/** Median per channel over rows [from, to) of all frames, 0 is the top and 1 the bottom. */
function medianColour(
  { data, width, height, frames }: RgbFrames,
  [from, to]: readonly [number, number],
): Rgb {
  const histograms = [0, 1, 2].map(() => new Uint32Array(256));
  const [first, last] = [Math.round(from * height) * width * 3, Math.round(to * height) * width * 3];
  for (let frame = 0; frame < frames; frame += 1) {
    const start = frame * height * width * 3;
    for (let i = first; i < last; i += 1) {
      const histogram = histograms[i % 3] as Uint32Array;
      const value = data[start + i] ?? 0;
      histogram[value] = (histogram[value] ?? 0) + 1;
    }
  }
  return histograms.map(median) as unknown as Rgb;
}

/** Every background in every style, the likeliest first. */
export function rankSettings(clip: RgbFrames): Setting[] {
  const [upper, lower] = [medianColour(clip, UPPER), medianColour(clip, LOWER)];
  return Object.entries(SCENERIES)
    .flatMap(([background, scenery]) =>
      STYLES.map((style): Setting => {
        const { top, bottom, horizon } = scenery;
        const above = horizon ? top : mix(top, bottom, DEPTHS[0]);
        const below = horizon ? bottom : mix(top, bottom, DEPTHS[1]);
        const error = Math.hypot(
          distance(upper, styled(scenery, above, style)),
          distance(lower, styled(scenery, below, style)),
        );
        return { background, style, error };
      }),
    )
    .sort((a, b) => a.error - b.error);
}
