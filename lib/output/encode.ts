/** The formats that a clip can be saved in, and the one way to save: check, encode, write. */
import path from 'node:path';
import { AnimateDiffError, invalidArgument } from '../errors.ts';
import type { ClipParameters } from '../options.ts';
import { encodeApng } from './apng.ts';
import type { Encoder, EncodeSettings, RgbFrames } from './frames.ts';
import { encodeGif } from './gif.ts';
import { encodePng, encodePngFrame } from './png.ts';
import { encodeWebp } from './webp.ts';
import type { NamedBytes } from './write.ts';
import { writeFile, writeFolder } from './write.ts';

/** `frames` is a folder of numbered PNG files. */
export type OutputFormat = 'gif' | 'webp' | 'apng' | 'png' | 'frames';

export interface SaveOptions {
  /** Frames per second, 0.1–50 for GIF, 0.1–90 for WebP and APNG. Default 8. */
  readonly fps?: number;
  /** How often the animation plays, up to 65,535; 0 (the default) is forever. */
  readonly loop?: number;
  /** 1–100, WebP only. Default 90. */
  readonly quality?: number;
  /** WebP only. Default false. */
  readonly lossless?: boolean;
  /** Default: by the extension of the path. */
  readonly format?: OutputFormat;
  /** Write the parameters of the clip into the file. Default true. */
  readonly metadata?: boolean;
}

/** What was written. */
export interface SavedFile {
  /** Absolute path of the file or folder. */
  readonly path: string;
  readonly format: OutputFormat;
  /** Size in bytes, of all files of a folder together. */
  readonly bytes: number;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
}

interface Format {
  readonly extension: string;
  /** The most frames per second that players show; 0 where a file has no time. */
  readonly maxFps: number;
  /** Longest side in pixels. */
  readonly maxSide: number;
  readonly lossy: boolean;
  readonly encode: Encoder;
}

/** Browsers slow delays of less than 2/100 s in GIF, and of 1/100 s or less elsewhere, down to 1/10 s. */
const FORMATS: Readonly<Record<Exclude<OutputFormat, 'frames'>, Format>> = {
  gif: { extension: '.gif', maxFps: 50, maxSide: 65_535, lossy: false, encode: encodeGif },
  webp: { extension: '.webp', maxFps: 90, maxSide: 16_383, lossy: true, encode: encodeWebp },
  apng: { extension: '.apng', maxFps: 90, maxSide: 2 ** 31 - 1, lossy: false, encode: encodeApng },
  png: { extension: '.png', maxFps: 0, maxSide: 2 ** 31 - 1, lossy: false, encode: encodePng },
};
const FORMAT_NAMES: readonly OutputFormat[] = ['gif', 'webp', 'apng', 'png', 'frames'];
const MIN_FPS = 0.1;
const FRAME_FILE = /^\d{4,}\.png$/;

/** Format of a path by its extension; a path without one, or that ends in a separator, is a folder. */
export function formatOf(file: string): OutputFormat {
  const extension = path.extname(file).toLowerCase();
  if (extension === '' || /[\\/]$/.test(file)) return 'frames';
  for (const name of FORMAT_NAMES) {
    if (name !== 'frames' && FORMATS[name].extension === extension) return name;
  }
  throw invalidArgument(
    'path',
    'a path that ends in .gif, .webp, .apng or .png, or a folder for PNG frames (no extension, or / at the end)',
    file,
  );
}

function checkFormat(file: string, options: SaveOptions): OutputFormat {
  if (typeof file !== 'string' || file === '')
    throw invalidArgument('path', 'the path of a file or folder', file);
  const format = options.format ?? formatOf(file);
  if (!FORMAT_NAMES.includes(format))
    throw invalidArgument('format', `one of ${FORMAT_NAMES.join(', ')}`, format);
  return format;
}

function checkFps(fps: number, name: string, maxFps: number): void {
  if (Number.isFinite(fps) && fps >= MIN_FPS && (maxFps === 0 || fps <= maxFps)) return;
  const limit = maxFps === 0 ? '' : ` to ${maxFps}, the most that players show of ${name.toUpperCase()}`;
  throw invalidArgument('fps', `a number from ${MIN_FPS}${limit}`, fps);
}

function checkSettings(
  format: OutputFormat,
  options: SaveOptions,
  parameters: readonly ClipParameters[],
): EncodeSettings {
  const { fps = 8, loop = 0, quality, lossless = false, metadata = true } = options;
  const { maxFps, lossy } = format === 'frames' ? FORMATS.png : FORMATS[format];
  checkFps(fps, format, maxFps);
  if (!Number.isInteger(loop) || loop < 0 || loop > 65_535) {
    throw invalidArgument('loop', 'a whole number from 0 (forever) to 65535', loop);
  }
  if (quality !== undefined && !(Number.isInteger(quality) && quality >= 1 && quality <= 100)) {
    throw invalidArgument('quality', 'a whole number from 1 to 100', quality);
  }
  if (!lossy && quality !== undefined)
    throw invalidArgument('quality', `no value, since only WebP has one (this is ${format})`, quality);
  if (!lossy && lossless)
    throw invalidArgument('lossless', `no value, since only WebP has one (this is ${format})`, lossless);
  return { fps, loop, quality: quality ?? 90, lossless, parameters: metadata ? parameters : [] };
}

function checkSize(format: OutputFormat, { width, height, frames }: RgbFrames): void {
  const { maxSide } = format === 'frames' ? FORMATS.png : FORMATS[format];
  if (Math.max(width, height) > maxSide) {
    throw invalidArgument(
      'format',
      `one for ${width}x${height} pixels (${format} ends at ${maxSide})`,
      format,
    );
  }
  if (format === 'png' && frames > 1) {
    throw invalidArgument('format', `one for ${frames} frames (.gif, .webp, .apng or a folder)`, format);
  }
}

/** All frames as `0000.png`, `0001.png`, …, each with the parameters. */
async function* numberedFrames(
  frames: RgbFrames,
  parameters: readonly ClipParameters[],
): AsyncGenerator<NamedBytes> {
  for (let index = 0; index < frames.frames; index++) {
    const bytes = await encoding('png', encodePngFrame(frames, index, parameters));
    yield { name: `${String(index).padStart(4, '0')}.png`, bytes };
  }
}

/**
 * Saves frames to a file, or to a folder of PNG files, which appears whole or not at all.
 *
 * @param file path of the result; its folder is made if missing
 * @param parameters what made the frames: one entry per clip in them
 * @throws ERR_INVALID_ARGUMENT for an option or a format that does not suit the frames
 * @throws ERR_OUTPUT when the result cannot be encoded or written
 */
export async function saveFrames(
  frames: RgbFrames,
  file: string,
  parameters: readonly ClipParameters[],
  options: SaveOptions = {},
): Promise<SavedFile> {
  const format = checkFormat(file, options);
  const settings = checkSettings(format, options, parameters);
  checkSize(format, frames);

  const bytes = await write(format, frames, file, settings);
  const { width, height } = frames;
  return { path: path.resolve(file), format, bytes, frames: frames.frames, width, height };
}

async function write(
  format: OutputFormat,
  frames: RgbFrames,
  file: string,
  settings: EncodeSettings,
): Promise<number> {
  if (format === 'frames') {
    const files = numberedFrames(frames, settings.parameters);
    return await writeFolder(file, files, (name) => FRAME_FILE.test(name));
  }
  const encoded = await encoding(format, FORMATS[format].encode(frames, settings));
  await writeFile(file, encoded);
  return encoded.length;
}

/** Gives failures of the encoder the code of this package. */
async function encoding(format: OutputFormat, result: Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return await result;
  } catch (cause) {
    if (cause instanceof AnimateDiffError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AnimateDiffError('ERR_OUTPUT', `The frames cannot be encoded as ${format}: ${reason}`, {
      cause,
    });
  }
}
