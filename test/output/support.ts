/** Clips, a temporary folder and readers of results for the tests of `lib/output`. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import sharp from 'sharp';
import { Clip } from '../../lib/clip.ts';
import type { ClipParameters } from '../../lib/options.ts';

export const parameters: ClipParameters = {
  prompt: 'a cat, émotion 猫 <b>&amp;</b>',
  negativePrompt: 'bad "hands"\nsecond line',
  seed: '18339859844376517918',
  steps: 25,
  guidanceScale: 7.5,
  scheduler: 'ddim',
  width: 48,
  height: 32,
  frames: 8,
  base: 'models/toonyou_beta3.safetensors',
  motionModule: 'models/mm_sd_v15_v2.ckpt',
  compat: 'original',
  dtype: 'float32',
  device: 'cpu',
  software: 'animatediff-native 0.1.0',
};

/** Colour of a pixel. */
type Painter = (frame: number, x: number, y: number) => readonly [number, number, number];

export function paint(frames: number, width: number, height: number, painter: Painter): Clip {
  const data = new Uint8Array(frames * height * width * 3);
  let at = 0;
  for (let frame = 0; frame < frames; frame++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at += 3) data.set(painter(frame, x, y), at);
    }
  }
  return new Clip(data, { frames, width, height }, { ...parameters, frames, width, height });
}

/** A smooth picture in which a disc moves; more colours than a palette has. */
export function scene(frames = 8, width = 128, height = 96): Clip {
  return paint(frames, width, height, (frame, x, y) => {
    const distance = Math.hypot(x - 30 - 4 * frame, y - height / 2);
    if (distance < 14) return [250 - 6 * distance, 60 + 3 * distance, 40];
    return [40 + (150 * y) / height, 90 + (120 * x) / width, 220 - (100 * y) / height];
  });
}

/** Numbers 0–255 that are the same in every run. */
export function* noise(seed = 1): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 24;
  }
}

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): () => Promise<string> {
  let folder: Promise<string> | undefined;
  after(async () => {
    if (folder !== undefined) await rm(await folder, { recursive: true, force: true });
  });
  return () => {
    folder ??= mkdtemp(path.join(tmpdir(), 'animatediff-output-'));
    return folder;
  };
}

/** RGB bytes of all frames of an animation, as libvips decodes them (which caches files by name). */
export async function decode(file: string): Promise<Uint8Array> {
  return await sharp(await readFile(file), { animated: true })
    .removeAlpha()
    .raw()
    .toBuffer();
}

/** Mean over 5x5 pixels of each frame: about what an eye makes of dithering. */
function blur({ data, width, height, frameCount }: Omit<Clip, 'parameters'>): Float64Array {
  const blurred = new Float64Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const channel = i % 3;
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / (3 * width)) % height;
    const frame = Math.floor(i / (3 * width * height));
    if (frame >= frameCount) break;
    let [sum, count] = [0, 0];
    for (let v = Math.max(0, y - 2); v <= Math.min(height - 1, y + 2); v++) {
      for (let u = Math.max(0, x - 2); u <= Math.min(width - 1, x + 2); u++, count++) {
        sum += data[((frame * height + v) * width + u) * 3 + channel] as number;
      }
    }
    blurred[i] = sum / count;
  }
  return blurred;
}

/** Peak signal-to-noise ratio in dB after the blur of {@link blur}. */
export function seenPsnr(clip: Clip, pixels: Uint8Array): number {
  const { width, height, frameCount } = clip;
  const wanted = blur(clip);
  const found = blur(new Clip(pixels, { frames: frameCount, width, height }, parameters));
  const error =
    wanted.reduce((sum, value, i) => sum + (value - (found[i] as number)) ** 2, 0) / wanted.length;
  return 10 * Math.log10(255 ** 2 / error);
}

/** What a GIF says about itself, read by the specification and not by the code under test. */
export interface GifFacts {
  readonly width: number;
  readonly height: number;
  readonly globalColours: number;
  readonly localTables: number;
  /** In 1/100 s. */
  readonly delays: readonly number[];
  /** Repetitions of the loop extension; undefined without one. */
  readonly repetitions?: number;
  readonly comments: readonly string[];
}

export function readGif(bytes: Buffer): GifFacts {
  const flags = bytes.readUInt8(10);
  const globalColours = flags & 0x80 ? 2 << (flags & 7) : 0;
  const facts = { delays: [] as number[], comments: [] as string[], localTables: 0 };
  let repetitions: number | undefined;
  let at = 13 + 3 * globalColours;
  const blocks = (): Buffer => {
    const parts: Buffer[] = [];
    for (let size = bytes.readUInt8(at++); size > 0; size = bytes.readUInt8(at++)) {
      parts.push(bytes.subarray(at, at + size));
      at += size;
    }
    return Buffer.concat(parts);
  };
  for (let kind = bytes.readUInt8(at++); kind !== 0x3b; kind = bytes.readUInt8(at++)) {
    if (kind === 0x2c) {
      if (bytes.readUInt8(at + 8) & 0x80) facts.localTables++;
      at += 10;
      blocks();
      continue;
    }
    const label = bytes.readUInt8(at++);
    const data = blocks();
    if (label === 0xf9) facts.delays.push(data.readUInt16LE(1));
    if (label === 0xfe) facts.comments.push(data.toString('utf8'));
    if (label === 0xff && data.toString('latin1', 0, 11) === 'NETSCAPE2.0')
      repetitions = data.readUInt16LE(12);
  }
  if (at !== bytes.length) throw new Error(`the GIF ends at ${at} of ${bytes.length} bytes`);
  return {
    width: bytes.readUInt16LE(6),
    height: bytes.readUInt16LE(8),
    globalColours,
    repetitions,
    ...facts,
  };
}
