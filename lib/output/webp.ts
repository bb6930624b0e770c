/** Animated WebP, encoded by sharp. The parameters travel as XMP, and as Exif comment where that is ASCII. */
import { frameDelays } from './delays.ts';
import type { EncodeSettings, RgbFrames } from './frames.ts';
import { readableTexts, xmpPacket } from './metadata.ts';
import { openFrames } from './sharp.ts';

const UNITS_PER_SECOND = 1000;

/**
 * Encodes an animated WebP; one frame becomes a still picture. Identical frames that follow each other are
 * joined into one that is shown longer.
 */
export async function encodeWebp(frames: RgbFrames, settings: EncodeSettings): Promise<Uint8Array> {
  const { fps, loop, quality, lossless, parameters } = settings;
  const delay = frameDelays(frames.frames, fps, UNITS_PER_SECOND);
  const image = await openFrames(frames);
  if (parameters.length > 0) {
    image.withXmp(xmpPacket(parameters));
    const text = readableTexts(parameters);
    // Exif comments would be transliterated to ASCII: a prompt that says something else is worse than none.
    if (/^[\n\x20-\x7e]*$/.test(text)) image.withExif({ IFD2: { UserComment: text } });
  }
  return await image.webp({ quality, lossless, smartSubsample: !lossless, delay, loop }).toBuffer();
}
