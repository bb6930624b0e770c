/**
 * What the names of colours and backgrounds mean in pixels. These are the judge's own words, written down from
 * looking at the drawings (scripts/demo/drawing); test/demo holds them against drawn clips.
 *
 * All colours are sRGB, 0–255.
 */

export type Rgb = readonly [red: number, green: number, blue: number];

export const STYLES = ['normal', 'neon', 'crayon'] as const;
export type Style = (typeof STYLES)[number];

/** Fills of objects in daylight. */
export const COLOURS: Readonly<Record<string, Rgb>> = {
  red: [224, 26, 31],
  orange: [250, 128, 13],
  yellow: [252, 219, 26],
  green: [15, 143, 46],
  cyan: [26, 209, 219],
  blue: [28, 61, 224],
  purple: [128, 36, 173],
  pink: [255, 122, 184],
  white: [250, 250, 250],
};

/** A background: the colours at its top and its bottom, and those of what lies on or between the two. */
export interface Scenery {
  readonly top: Rgb;
  readonly bottom: Rgb;
  /** Mountains, spots on the ground, stars; also ripples of models trained on earlier drawings. */
  readonly landmarks: readonly Rgb[];
  /** Is there an edge between the two? Otherwise one passes into the other. */
  readonly horizon: boolean;
  /** Does crayon draw it on dark paper? */
  readonly dark?: boolean;
}

export const SCENERIES: Readonly<Record<string, Scenery>> = {
  black: { top: [10, 10, 13], bottom: [18, 18, 20], horizon: false, landmarks: [], dark: true },
  gray: { top: [135, 135, 138], bottom: [115, 115, 117], horizon: false, landmarks: [] },
  beige: { top: [232, 214, 181], bottom: [217, 196, 161], horizon: false, landmarks: [] },
  'night sky': {
    top: [5, 8, 33],
    bottom: [26, 33, 87],
    horizon: false,
    landmarks: [[255, 242, 178]],
    dark: true,
  },
  grass: { top: [184, 224, 250], bottom: [143, 199, 92], horizon: true, landmarks: [[120, 179, 77]] },
  sea: {
    top: [209, 235, 250],
    bottom: [72, 143, 188],
    horizon: true,
    landmarks: [
      [143, 199, 92],
      [122, 184, 214],
      [56, 128, 179],
    ],
  },
  desert: { top: [250, 230, 199], bottom: [222, 173, 107], horizon: true, landmarks: [[204, 153, 89]] },
  snow: {
    top: [168, 194, 219],
    bottom: [237, 242, 250],
    horizon: true,
    landmarks: [
      [138, 163, 191],
      [194, 212, 235],
    ],
  },
};

/** Paper under crayon, and that of dark sceneries. */
const PAPER: Rgb = [247, 242, 230];
const DARK_PAPER: Rgb = [92, 89, 97];
/** Share of the paper that crayon covers: least, usual, most. */
const CRAYON_COVER = [0.58, 0.7, 0.82] as const;
/** How bright a neon background is, relative to daylight, per channel. */
const NEON_ECHO: Rgb = [0.117, 0.104, 0.156];

export function mix(first: Rgb, second: Rgb, amount: number): Rgb {
  return [0, 1, 2].map(
    (c) => (first[c] ?? 0) + ((second[c] ?? 0) - (first[c] ?? 0)) * amount,
  ) as unknown as Rgb;
}

/** A daylight colour of a scenery as the style shows it, `cover` of crayon over paper. */
export function styled({ dark }: Scenery, colour: Rgb, style: Style, cover: number = CRAYON_COVER[1]): Rgb {
  switch (style) {
    case 'normal':
      return colour;
    case 'neon':
      return [colour[0] * NEON_ECHO[0], colour[1] * NEON_ECHO[1], colour[2] * NEON_ECHO[2]];
    case 'crayon':
      return mix(dark ? DARK_PAPER : PAPER, colour, cover);
  }
}

/** Two ends of a line of colours. */
export type Segment = readonly [Rgb, Rgb];

/** Lines through all colours that a background has in a style, and mixtures of neighbours. */
export function backgroundSegments(scenery: Scenery, style: Style): Segment[] {
  const { top, bottom, landmarks } = scenery;
  const pairs: Segment[] = [
    [top, bottom],
    ...landmarks.flatMap((colour): Segment[] => [
      [top, colour],
      [bottom, colour],
    ]),
  ];
  const covers = style === 'crayon' ? CRAYON_COVER : [1];
  return covers.flatMap((cover) =>
    pairs.map(([a, b]): Segment => [styled(scenery, a, style, cover), styled(scenery, b, style, cover)]),
  );
}

/** Distance of a colour from a line between two colours. */
export function segmentDistance(red: number, green: number, blue: number, [a, b]: Segment): number {
  const [dr, dg, db] = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
  const length = dr * dr + dg * dg + db * db;
  const along = length === 0 ? 0 : ((red - a[0]) * dr + (green - a[1]) * dg + (blue - a[2]) * db) / length;
  const t = along < 0 ? 0 : along > 1 ? 1 : along;
  const [r, g, l] = [red - a[0] - t * dr, green - a[1] - t * dg, blue - a[2] - t * db];
  return Math.sqrt(r * r + g * g + l * l);
}

export function distance(a: Rgb, b: Rgb): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}
