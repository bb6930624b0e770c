/** Where the clips of a run are written: one named file, or a folder of the run as mmagic's script makes it. */
import { mkdir, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { CLIP_FORMATS, type ClipFormat, orList } from '../config/choices.ts';
import type { Config } from '../config/schema.ts';
import { AnimateDiffError, invalidArgument } from '../errors.ts';

/** Folder for results when nothing else is said. */
const DEFAULT_FOLDER = 'samples';

/** Endings that are meant as a file but cannot be written. */
const OTHER_FORMATS = ['.mp4', '.webm', '.mov', '.mkv', '.avi', '.jpg', '.jpeg', '.avif'];

export type Destination =
  | { readonly kind: 'file'; readonly file: string }
  /** `folder` is the parent of the folders of all runs, `name` begins the name of this run's. */
  | { readonly kind: 'folder'; readonly folder: string; readonly name: string };

/** File name without folders and ending; the last part of `hf:owner/name`. */
function stem(source: string): string {
  const base = path.basename(source.replace(/[/\\]+$/, ''));
  return base.replace(/\.(ya?ml|safetensors|ckpt|pth?|bin)$/i, '') || base;
}

/**
 * Decides from `out`, `format` and the number of clips. `folder` is the working folder; `configFile` gives
 * the run its name, else the checkpoint or the base does.
 *
 * @throws AnimateDiffError `ERR_INVALID_ARGUMENT` when `out` names a file of a format that cannot be written
 * or that contradicts `format`, or a file for several clips.
 */
export function planDestination(
  config: Pick<Config, 'out' | 'format' | 'base' | 'checkpoint'>,
  clips: number,
  folder: string,
  configFile?: string,
): Destination {
  const out = config.out ?? path.join(folder, DEFAULT_FOLDER);
  const ending = /[/\\]$/.test(out) ? '' : path.extname(out).toLowerCase();
  if (OTHER_FORMATS.includes(ending)) {
    throw invalidArgument(
      'out',
      `a folder, or a file that ends in ${orList(CLIP_FORMATS.map((name) => `.${name}`))}`,
      out,
    );
  }
  const format = CLIP_FORMATS.find((name) => ending === `.${name}`);
  if (format === undefined) {
    return {
      kind: 'folder',
      folder: out,
      name: stem(configFile ?? config.checkpoint ?? config.base ?? 'animatediff'),
    };
  }
  if (config.format !== undefined && config.format !== format) {
    throw invalidArgument(
      'out',
      `a file that ends in .${config.format}, as \`format\` says, or a folder`,
      out,
    );
  }
  if (clips > 1) {
    const sentence = `${clips} clips cannot be written to one file, got '${out}' for \`out\`. Give a folder.`;
    throw new AnimateDiffError('ERR_INVALID_ARGUMENT', sentence, { details: { option: 'out', clips } });
  }
  return { kind: 'file', file: out };
}

/** `2024-01-31T09-05-00` in local time, as mmagic names its folders. */
export function timestamp(date: Date): string {
  const two = (value: number) => `${value}`.padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day}T${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join('-')}`;
}

function outputError(error: unknown, folder: string): AnimateDiffError {
  const { code } = error as NodeJS.ErrnoException;
  const sentence = `The folder '${folder}' cannot be created (${code}). Choose another one with \`--out\`.`;
  return new AnimateDiffError('ERR_OUTPUT', sentence, { cause: error, details: { path: folder } });
}

/** Creates the folder of one run; a second run in the same second gets a number behind its name. */
export async function createRunFolder(parent: string, name: string, date: Date): Promise<string> {
  const stamped = path.join(parent, `${name}-${timestamp(date)}`);
  try {
    await mkdir(parent, { recursive: true });
    for (let attempt = 1; ; attempt++) {
      const folder = attempt === 1 ? stamped : `${stamped}-${attempt}`;
      try {
        await mkdir(folder);
        return folder;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt >= 100) throw error;
      }
    }
  } catch (error) {
    throw outputError(error, stamped);
  }
}

/** Takes away the folder of a run that wrote nothing. */
export async function removeIfEmpty(folder: string): Promise<void> {
  // A folder with files in it stays, which is what the refusal of rmdir means.
  await rmdir(folder).catch(() => {});
}

/**
 * Path of a clip without its folder: `0-a-cat.gif`. A single image is a PNG file unless another format is
 * asked for; frames as PNG are a folder, which the ending separator says.
 */
export function clipName(stem: string, format: ClipFormat | undefined, frames: number): string {
  const chosen = format ?? (frames === 1 ? 'png' : 'gif');
  return chosen === 'png' && frames > 1 ? `${stem}${path.sep}` : `${stem}.${chosen}`;
}

/** Players slow faster GIFs down, so they are refused when a clip is saved (`output/encode.ts`). */
const MAX_GIF_FPS = 50;

/**
 * Refuses, before hours of sampling, what saving would refuse after them.
 *
 * @param frames of each clip
 * @throws AnimateDiffError `ERR_INVALID_ARGUMENT`
 */
export function checkSavable(
  destination: Destination,
  { format, fps = 8 }: Pick<Config, 'format' | 'fps'>,
  frames: number,
): void {
  const ending =
    destination.kind === 'file' ? path.extname(destination.file).toLowerCase().slice(1) : undefined;
  if (ending === 'png' && frames > 1) {
    throw invalidArgument(
      'out',
      `a folder or another ending for ${frames} frames (.gif, .webp or .apng)`,
      '.png',
    );
  }
  if ((ending ?? format ?? (frames > 1 ? 'gif' : 'png')) === 'gif' && fps > MAX_GIF_FPS) {
    throw invalidArgument('fps', `at most ${MAX_GIF_FPS} for GIF (or the format webp or apng)`, fps);
  }
}
