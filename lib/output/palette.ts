/** One palette for all frames of an animation. libimagequant, inside sharp, chooses the colours. */
import type { RgbFrames } from './frames.ts';
import { frameView } from './frames.ts';
import { openFrames, openImage } from './sharp.ts';

/** Colours that a palette may have; the 256th entry of a GIF is kept for “transparent”. */
export const MAX_COLOURS = 255;
/** Pixels that the choice is made from; more cost time and change the result by less than 0.1 dB. */
const SAMPLE_PIXELS = 65_536;

/** Colours as [count, 3], RGB, and whether every pixel of the frames is one of them. */
export interface Palette {
  readonly colours: Uint8Array;
  readonly exact: boolean;
}

/** The distinct colours in packed form, or undefined when there are more than `limit`. */
function distinctColours(data: Uint8Array, limit: number): Set<number> | undefined {
  const found = new Set<number>();
  let last = -1;
  for (let i = 0; i < data.length; i += 3) {
    const colour = ((data[i] as number) << 16) | ((data[i + 1] as number) << 8) | (data[i + 2] as number);
    if (colour === last) continue;
    last = colour;
    found.add(colour);
    if (found.size > limit) return undefined;
  }
  return found;
}

function unpack(colours: Iterable<number>): Uint8Array {
  return Uint8Array.from([...colours].flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
}

/** Every n-th pixel of every n-th row, from another place in each frame, stacked to one tall image. */
function sample(frames: RgbFrames): RgbFrames {
  const { width, height, frames: count } = frames;
  const step = Math.max(1, Math.ceil(Math.sqrt((count * height * width) / SAMPLE_PIXELS)));
  const columns = Math.ceil(width / step);
  const rows = Math.ceil(height / step);
  const data = new Uint8Array(count * rows * columns * 3);
  let to = 0;
  for (let f = 0; f < count; f++) {
    const frame = frameView(frames, f);
    for (let row = 0; row < rows; row++) {
      const y = Math.min(row * step + ((f * 7) % step), height - 1);
      for (let column = 0; column < columns; column++) {
        const x = Math.min(column * step + (f % step), width - 1);
        const from = (y * width + x) * 3;
        data.set(frame.subarray(from, from + 3), to);
        to += 3;
      }
    }
  }
  return { data, width: columns, height: count * rows, frames: 1 };
}

/** The palette that suits all frames together best. */
export async function choosePalette(frames: RgbFrames): Promise<Palette> {
  const all = distinctColours(frames.data, MAX_COLOURS);
  if (all !== undefined) return { colours: unpack(all), exact: true };

  const reduced = await (await openFrames(sample(frames))).gif({ effort: 7, dither: 0 }).toBuffer();
  const pixels = await (await openImage(reduced)).removeAlpha().raw().toBuffer();
  return { colours: unpack(distinctColours(pixels, 256) ?? []), exact: false };
}
