/**
 * Ordered dithering to any palette, after Thomas Knoll (“Pattern dithering”, US patent 6606166, expired
 * 2019): for each pixel a few palette colours are collected whose mean approaches the pixel, sorted by
 * luminance, and the place of the pixel in a Bayer matrix decides which one is shown. The result depends
 * on the pixel alone, so what stands still never flickers, as it does when errors are diffused.
 */
import type { Palette } from './palette.ts';

const CANDIDATES = 8;
/** Share of the accumulated error that the next candidate makes up for: less is less grain. */
const STRENGTH = 0.7;
/** Bits per channel of the table of nearest colours. */
const TABLE_BITS = 6;
const UNKNOWN = -1;

/** Bayer's matrix of order 8 by its recursion, as ranks 0–7 for the eight candidates. */
const RANKS = bayerMatrix(8).map((value) => value >> 3);

function bayerMatrix(order: number): number[] {
  if (order === 1) return [0];
  const half = order / 2;
  const inner = bayerMatrix(half);
  return Array.from({ length: order * order }, (_, i) => {
    const x = i % order;
    const y = Math.floor(i / order);
    const corner = [0, 2, 3, 1][(x < half ? 0 : 1) + (y < half ? 0 : 2)] as number;
    return 4 * (inner[(y % half) * half + (x % half)] as number) + corner;
  });
}

const clamp = (value: number) => (value < 0 ? 0 : value > 255 ? 255 : value | 0);

/** Finds the palette colour nearest to any RGB value, remembering the answer for each small cube. */
class NearestColour {
  readonly #colours: Uint8Array;
  readonly #table = new Int16Array(1 << (3 * TABLE_BITS)).fill(UNKNOWN);

  constructor(colours: Uint8Array) {
    this.#colours = colours;
  }

  find(red: number, green: number, blue: number): number {
    const drop = 8 - TABLE_BITS;
    const cell = ((red >> drop) << (2 * TABLE_BITS)) | ((green >> drop) << TABLE_BITS) | (blue >> drop);
    const known = this.#table[cell] as number;
    if (known !== UNKNOWN) return known;
    const middle = (value: number) => ((value >> drop) << drop) + (1 << (drop - 1));
    const nearest = this.#search(middle(red), middle(green), middle(blue));
    this.#table[cell] = nearest;
    return nearest;
  }

  #search(red: number, green: number, blue: number): number {
    let nearest = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0, at = 0; at < this.#colours.length; i++, at += 3) {
      const dr = (this.#colours[at] as number) - red;
      const dg = (this.#colours[at + 1] as number) - green;
      const db = (this.#colours[at + 2] as number) - blue;
      const distance = dr * dr + dg * dg + db * db;
      if (distance < least) {
        least = distance;
        nearest = i;
      }
    }
    return nearest;
  }
}

/** Maps frames to indices of one palette. */
export type FrameMapper = (frame: Uint8Array, width: number) => Uint8Array;

function exactMapper(colours: Uint8Array): FrameMapper {
  const indices = new Map<number, number>();
  for (let i = 0; i < colours.length; i += 3) {
    indices.set(
      ((colours[i] as number) << 16) | ((colours[i + 1] as number) << 8) | (colours[i + 2] as number),
      i / 3,
    );
  }
  return (frame) =>
    Uint8Array.from({ length: frame.length / 3 }, (_, i) => {
      const at = 3 * i;
      const colour =
        ((frame[at] as number) << 16) | ((frame[at + 1] as number) << 8) | (frame[at + 2] as number);
      return indices.get(colour) as number;
    });
}

function ditheringMapper(colours: Uint8Array): FrameMapper {
  const nearest = new NearestColour(colours);
  const luminance = Float64Array.from(
    { length: colours.length / 3 },
    (_, i) =>
      0.299 * (colours[3 * i] as number) +
      0.587 * (colours[3 * i + 1] as number) +
      0.114 * (colours[3 * i + 2] as number),
  );
  const candidates = new Uint8Array(CANDIDATES);

  /** Fills `candidates`, darkest first. */
  const collect = (red: number, green: number, blue: number) => {
    let errorRed = 0;
    let errorGreen = 0;
    let errorBlue = 0;
    for (let count = 0; count < CANDIDATES; count++) {
      const colour = nearest.find(
        clamp(red + errorRed * STRENGTH),
        clamp(green + errorGreen * STRENGTH),
        clamp(blue + errorBlue * STRENGTH),
      );
      errorRed += red - (colours[3 * colour] as number);
      errorGreen += green - (colours[3 * colour + 1] as number);
      errorBlue += blue - (colours[3 * colour + 2] as number);
      let place = count;
      while (
        place > 0 &&
        (luminance[candidates[place - 1] as number] as number) > (luminance[colour] as number)
      ) {
        candidates[place] = candidates[place - 1] as number;
        place--;
      }
      candidates[place] = colour;
    }
  };

  return (frame, width) => {
    const indices = new Uint8Array(frame.length / 3);
    for (let i = 0, at = 0, x = 0, y = 0; i < indices.length; i++, at += 3) {
      collect(frame[at] as number, frame[at + 1] as number, frame[at + 2] as number);
      indices[i] = candidates[RANKS[((y & 7) << 3) | (x & 7)] as number] as number;
      if (++x === width) {
        x = 0;
        y++;
      }
    }
    return indices;
  };
}

/**
 * Makes the function that turns a frame [height, width, 3] into palette indices [height, width].
 * A palette that has every colour of the frames is used as it is, without dithering.
 */
export function createFrameMapper({ colours, exact }: Palette): FrameMapper {
  return exact ? exactMapper(colours) : ditheringMapper(colours);
}
