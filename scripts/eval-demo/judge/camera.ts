/**
 * Names the move of the camera by moving the background back: the move after which frames some time apart agree
 * best, where there is no object. Pictures without a texture tell nothing.
 */
import type { RgbFrames } from '../../../lib/output/frames.ts';
import { frameView } from '../../../lib/output/frames.ts';
import { SCENERIES, type Style } from './palette.ts';
import { dilate } from './regions.ts';
import type { Silhouette } from './silhouette.ts';

/** Backgrounds in which a move can be seen. */
export const TEXTURED: readonly string[] = Object.entries(SCENERIES)
  .filter(([, { landmarks }]) => landmarks.length > 0)
  .map(([name]) => name);

/** Frames between the two that are compared. */
const LAG = 5;
/** Pixels around an object that are not looked at: its light falls on the background, or its colour is smeared. */
const MARGIN: Readonly<Record<Style, number>> = { normal: 5, neon: 12, crayon: 7 };
/** Every so manyth pixel in both directions is looked at. */
const STRIDE = 2;
/** A move must explain the frames this much better than none. */
const BETTER = 0.8;
/** Mean difference (0–255) below which frames do not differ. */
const QUIET = 0.8;

/** A move over the whole clip. */
export interface Move {
  /** Picture widths that the camera turns to the left: the scenery goes right. */
  readonly pan: number;
  /** Magnification at the end. */
  readonly zoom: number;
}

export type Camera = 'fixed' | 'zoom-in' | 'pan-left' | 'other';

export interface CameraVerdict extends Move {
  readonly camera: Camera;
}

const STILL: Move = { pan: 0, zoom: 1 };
const MOVES: readonly Move[] = [
  STILL,
  ...[-0.6, -0.5, -0.4, -0.3, -0.2, 0.2, 0.3, 0.4, 0.5, 0.6].map((pan) => ({ pan, zoom: 1 })),
  ...[0.5, 0.6, 0.75, 1.3, 1.45, 1.6, 1.7, 1.8, 2, 2.3].map((zoom) => ({ pan: 0, zoom })),
];

/** Where a point of the world is in the picture at a moment (0–1), relative to the picture's centre. */
export function toPicture({ pan, zoom }: Move, moment: number) {
  return { shift: pan * (moment - 0.5), scale: 1 + (zoom - 1) * moment };
}

/** Mean difference (0–255) of two frames after the camera's move between them was undone. */
function disagreement(
  clip: RgbFrames,
  blocked: readonly Uint8Array[],
  [first, second]: readonly [number, number],
  move: Move,
): number {
  const { width, height, frames } = clip;
  const [a, b] = [frameView(clip, first), frameView(clip, second)];
  const [before, after] = [first, second].map((index) => toPicture(move, index / (frames - 1))) as [
    ReturnType<typeof toPicture>,
    ReturnType<typeof toPicture>,
  ];
  const ratio = before.scale / after.scale;
  let [total, count] = [0, 0];
  for (let y = 0; y < height; y += STRIDE) {
    const row = Math.round((y - height / 2) * ratio + height / 2);
    if (row < 0 || row >= height) continue;
    for (let x = 0; x < width; x += STRIDE) {
      const world = (x - width / 2) / after.scale - after.shift * width;
      const column = Math.round((world + before.shift * width) * before.scale + width / 2);
      if (column < 0 || column >= width) continue;
      const [here, there] = [y * width + x, row * width + column];
      if (blocked[second]?.[here] === 1 || blocked[first]?.[there] === 1) continue;
      for (let c = 0; c < 3; c += 1) total += Math.abs((b[3 * here + c] ?? 0) - (a[3 * there + c] ?? 0));
      count += 3;
    }
  }
  return count === 0 ? 0 : total / count;
}

/** What hides the background in each frame. */
export function objectAreas(
  clip: RgbFrames,
  silhouettes: readonly (Silhouette | undefined)[],
  style: Style,
): Uint8Array[] {
  return silhouettes.map((silhouette) =>
    silhouette === undefined
      ? new Uint8Array(clip.width * clip.height)
      : dilate(silhouette.mask, clip.width, MARGIN[style]),
  );
}

function meanDisagreement(clip: RgbFrames, blocked: readonly Uint8Array[], move: Move): number {
  const pairs = Array.from({ length: Math.max(0, clip.frames - LAG) }, (_, i) => [i, i + LAG] as const);
  const sum = pairs.reduce((total, pair) => total + disagreement(clip, blocked, pair, move), 0);
  return pairs.length === 0 ? 0 : sum / pairs.length;
}

/** Mean change (0–255) of the background from each frame to the next, beyond the camera's move. */
export function backgroundChanges(clip: RgbFrames, blocked: readonly Uint8Array[], move: Move): number[] {
  return Array.from({ length: clip.frames - 1 }, (_, i) => disagreement(clip, blocked, [i, i + 1], move));
}

function nameOf({ pan, zoom }: Move): Camera {
  if (pan === 0 && zoom === 1) return 'fixed';
  if (pan > 0) return 'pan-left';
  return zoom > 1 ? 'zoom-in' : 'other';
}

export function judgeCamera(clip: RgbFrames, blocked: readonly Uint8Array[]): CameraVerdict {
  const still = meanDisagreement(clip, blocked, STILL);
  if (still < QUIET) return { camera: 'fixed', ...STILL };
  const best = MOVES.map((move) => ({ move, error: meanDisagreement(clip, blocked, move) })).reduce((a, b) =>
    b.error < a.error ? b : a,
  );
  const move = best.error < BETTER * still ? best.move : STILL;
  return { camera: nameOf(move), ...move };
}
