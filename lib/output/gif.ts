/**
 * Animated GIF (GIF89a) with one global palette for all frames and no local ones. sharp chooses the
 * palette; the frames are mapped and framed here, because sharp cannot be given a palette: it makes one
 * from the first frame or one per frame, and diffuses errors, so that still areas flicker.
 */
import { setImmediate } from 'node:timers/promises';
import { frameDelays } from './delays.ts';
import { createFrameMapper } from './dither.ts';
import type { EncodeSettings, RgbFrames } from './frames.ts';
import { frameView } from './frames.ts';
import { compressIndices } from './lzw.ts';
import { gifComments } from './metadata.ts';
import { choosePalette } from './palette.ts';

/** GIF counts time in 1/100 s. */
const UNITS_PER_SECOND = 100;
const EXTENSION = 0x21;
const IMAGE = 0x2c;
const TRAILER = 0x3b;
const GRAPHIC_CONTROL = 0xf9;
const COMMENT = 0xfe;
const APPLICATION = 0xff;
/** Graphic control flags: leave the frame in place, and one index is transparent. */
const KEEP = 0b100;
const KEEP_WITH_TRANSPARENCY = 0b101;

const uint16 = (value: number) => [value & 0xff, value >> 8];

/** Data in blocks of up to 255 bytes, each after its length, ended by an empty one. */
function subBlocks(data: Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += 255) {
    const block = data.subarray(at, at + 255);
    blocks.push(Uint8Array.of(block.length), block);
  }
  return Buffer.concat([...blocks, Uint8Array.of(0)]);
}

function header(width: number, height: number, colours: Uint8Array, bits: number): Uint8Array {
  const table = new Uint8Array(3 << bits);
  table.set(colours);
  const globalTable = 0x80 | ((bits - 1) << 4) | (bits - 1);
  return Buffer.concat([
    Buffer.from('GIF89a', 'latin1'),
    Uint8Array.of(...uint16(width), ...uint16(height), globalTable, 0, 0),
    table,
  ]);
}

/** The loop extension counts repetitions after the first time; without it a GIF plays once. */
function loopExtension(loop: number): Uint8Array {
  if (loop === 1) return new Uint8Array();
  const repetitions = loop === 0 ? 0 : loop - 1;
  return Buffer.concat([
    Uint8Array.of(EXTENSION, APPLICATION, 11),
    Buffer.from('NETSCAPE2.0', 'latin1'),
    Uint8Array.of(3, 1, ...uint16(repetitions), 0),
  ]);
}

/** A rectangle of palette indices. */
interface Patch {
  readonly indices: Uint8Array;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The smallest rectangle outside which two frames are equal; one pixel when they are equal everywhere. */
function changedPatch(previous: Uint8Array, current: Uint8Array, width: number): Patch {
  let [left, right, top, bottom] = [width, -1, -1, -1];
  for (let i = 0, x = 0, y = 0; i < current.length; i++) {
    if (current[i] !== previous[i]) {
      if (x < left) left = x;
      if (x > right) right = x;
      if (top < 0) top = y;
      bottom = y;
    }
    if (++x === width) {
      x = 0;
      y++;
    }
  }
  if (right < 0) return { indices: current.subarray(0, 1), left: 0, top: 0, width: 1, height: 1 };
  const size = { width: right - left + 1, height: bottom - top + 1 };
  const indices = new Uint8Array(size.width * size.height);
  for (let row = 0; row < size.height; row++) {
    const from = (top + row) * width + left;
    indices.set(current.subarray(from, from + size.width), row * size.width);
  }
  return { indices, left, top, ...size };
}

/** The patch with every pixel that did not change made transparent. */
function withTransparency(
  patch: Patch,
  previous: Uint8Array,
  width: number,
  transparent: number,
): Uint8Array {
  return patch.indices.map((index, i) => {
    const x = patch.left + (i % patch.width);
    const y = patch.top + Math.floor(i / patch.width);
    return index === previous[y * width + x] ? transparent : index;
  });
}

function imageBlock(
  patch: Patch,
  data: Uint8Array,
  delay: number,
  flags: number,
  transparent: number,
): Uint8Array {
  const { left, top, width, height } = patch;
  return Buffer.concat([
    Uint8Array.of(EXTENSION, GRAPHIC_CONTROL, 4, flags, ...uint16(delay), transparent, 0),
    Uint8Array.of(IMAGE, ...uint16(left), ...uint16(top), ...uint16(width), ...uint16(height), 0),
    data,
  ]);
}

/** One frame as the change from the one before, in the shorter of two forms. */
function frameBlock(
  current: Uint8Array,
  previous: Uint8Array | undefined,
  { width, height, bits, transparent, delay }: FrameShape,
): Uint8Array {
  if (previous === undefined) {
    const whole = { indices: current, left: 0, top: 0, width, height };
    return imageBlock(whole, compressIndices(current, bits), delay, KEEP, 0);
  }
  const patch = changedPatch(previous, current, width);
  const opaque = compressIndices(patch.indices, bits);
  const sparse = compressIndices(withTransparency(patch, previous, width, transparent), bits);
  return sparse.length < opaque.length
    ? imageBlock(patch, sparse, delay, KEEP_WITH_TRANSPARENCY, transparent)
    : imageBlock(patch, opaque, delay, KEEP, 0);
}

interface FrameShape {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  readonly transparent: number;
  readonly delay: number;
}

/**
 * Encodes an animated GIF. Identical frames stay frames of their own, so that the length is kept.
 *
 * @param frames at most 65,535 pixels wide and high
 * @param settings `fps` at most 50: browsers slow shorter delays down
 */
export async function encodeGif(frames: RgbFrames, settings: EncodeSettings): Promise<Uint8Array> {
  const { width, height } = frames;
  const palette = await choosePalette(frames);
  const count = palette.colours.length / 3;
  const bits = Math.max(2, Math.ceil(Math.log2(count + 1)));
  const delays = frameDelays(frames.frames, settings.fps, UNITS_PER_SECOND);
  const map = createFrameMapper(palette);

  const parts = [header(width, height, palette.colours, bits), loopExtension(settings.loop)];
  for (const comment of gifComments(settings.parameters)) {
    parts.push(Uint8Array.of(EXTENSION, COMMENT), subBlocks(Buffer.from(comment, 'utf8')));
  }
  let previous: Uint8Array | undefined;
  for (const [index, delay] of delays.entries()) {
    const current = map(frameView(frames, index), width);
    parts.push(frameBlock(current, previous, { width, height, bits, transparent: count, delay }));
    previous = current;
    await setImmediate();
  }
  return Buffer.concat([...parts, Uint8Array.of(TRAILER)]);
}
