/** The pixels of an animation and what the encoders are told about it. */
import type { ClipParameters } from '../options.ts';

/** RGB pixels of all frames, one frame after the other. */
export interface RgbFrames {
  /** [frames, height, width, 3], 0–255. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

/** Settings of one file, checked and complete. */
export interface EncodeSettings {
  /** Frames per second. */
  readonly fps: number;
  /** How often the animation plays; 0 is forever. */
  readonly loop: number;
  /** 1–100, for lossy formats. */
  readonly quality: number;
  readonly lossless: boolean;
  /** Written into the file: of one clip, of several in a grid, of none. */
  readonly parameters: readonly ClipParameters[];
}

/** Turns frames into the bytes of a file. */
export type Encoder = (frames: RgbFrames, settings: EncodeSettings) => Promise<Uint8Array>;

/** One frame as a view: [height, width, 3]. */
export function frameView({ data, width, height }: RgbFrames, index: number): Uint8Array {
  const size = width * height * 3;
  return data.subarray(index * size, (index + 1) * size);
}
