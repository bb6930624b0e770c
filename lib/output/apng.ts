/**
 * Animated PNG (PNG specification, third edition, §11.3.6). sharp encodes the frames; it cannot write the
 * container, which is one chunk before the first frame and one before each frame.
 */
import type { EncodeSettings, RgbFrames } from './frames.ts';
import { frameChunks, parameterChunks } from './png.ts';
import type { PngChunk } from './png-chunks.ts';
import { writePng } from './png-chunks.ts';

/** Hands out the numbers that order all `fcTL` and `fdAT` chunks. */
type Sequence = () => number;

function animationControl(frames: number, loop: number): PngChunk {
  const data = Buffer.alloc(8);
  data.writeUInt32BE(frames, 0);
  data.writeUInt32BE(loop, 4);
  return { type: 'acTL', data };
}

/** Seconds as a fraction of two 16-bit numbers: exact for whole and for usual broken frame rates. */
function delayFraction(fps: number): [number, number] {
  const denominator = [1, 2, 4, 10, 100, 1000, 1001].find(
    (d) => Number.isInteger(fps * d) && fps * d <= 65535,
  );
  if (denominator !== undefined) return [denominator, fps * denominator];
  return [Math.round(1000 / fps), 1000];
}

function frameControl({ width, height }: RgbFrames, fps: number, next: Sequence): PngChunk {
  const data = Buffer.alloc(26);
  const [numerator, denominator] = delayFraction(fps);
  data.writeUInt32BE(next(), 0);
  data.writeUInt32BE(width, 4);
  data.writeUInt32BE(height, 8);
  data.writeUInt16BE(numerator, 20);
  data.writeUInt16BE(denominator, 22);
  return { type: 'fcTL', data };
}

/** Image data of a later frame is the data of an `IDAT` chunk behind a sequence number. */
function frameData({ data }: PngChunk, next: Sequence): PngChunk {
  const numbered = Buffer.alloc(4 + data.length);
  numbered.writeUInt32BE(next(), 0);
  numbered.set(data, 4);
  return { type: 'fdAT', data: numbered };
}

/** Encodes an animated PNG: lossless, all frames whole. */
export async function encodeApng(frames: RgbFrames, settings: EncodeSettings): Promise<Uint8Array> {
  let number = 0;
  const next = () => number++;
  const chunks: PngChunk[] = [];
  for (let index = 0; index < frames.frames; index++) {
    const [imageHeader, ...rest] = await frameChunks(frames, index);
    const images = rest.filter(({ type }) => type === 'IDAT');
    if (index === 0) {
      chunks.push(imageHeader as PngChunk, ...parameterChunks(settings.parameters));
      chunks.push(animationControl(frames.frames, settings.loop));
    }
    chunks.push(frameControl(frames, settings.fps, next));
    chunks.push(...(index === 0 ? images : images.map((image) => frameData(image, next))));
  }
  return writePng([...chunks, { type: 'IEND', data: new Uint8Array() }]);
}
