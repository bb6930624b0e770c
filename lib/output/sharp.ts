/**
 * The only module that imports sharp, and only when something is encoded: sharp cannot be loaded next to
 * another GLib (Electron on Linux), and frames must be usable without it.
 */
import type { Sharp, SharpOptions } from 'sharp';
import { AnimateDiffError } from '../errors.ts';
import type { RgbFrames } from './frames.ts';

type SharpModule = typeof import('sharp');

let loading: Promise<SharpModule> | undefined;

/** @throws ERR_OUTPUT with the reason when sharp is missing or its library cannot be loaded */
function loadSharp(): Promise<SharpModule> {
  loading ??= import('sharp').catch((cause: unknown) => {
    loading = undefined;
    const reason = cause instanceof Error ? cause.message.trim().split('\n')[0] : String(cause);
    throw new AnimateDiffError(
      'ERR_OUTPUT',
      `Images are encoded by sharp, which cannot be loaded: ${reason} Reinstall it (npm install sharp), or take the pixels from clip.frames() and encode them yourself.`,
      { cause },
    );
  });
  return loading;
}

/** Opens an encoded image. */
export async function openImage(bytes: Uint8Array, options: SharpOptions = {}): Promise<Sharp> {
  const { default: sharp } = await loadSharp();
  return sharp(bytes, { limitInputPixels: false, ...options });
}

/** Opens RGB pixels; several frames become the pages of an animation. */
export async function openFrames({ data, width, height, frames }: RgbFrames): Promise<Sharp> {
  const raw = { width, height: height * frames, channels: 3, pageHeight: height } as const;
  return await openImage(data, { raw });
}
