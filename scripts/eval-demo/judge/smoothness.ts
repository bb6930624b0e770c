/** Measures flicker: what changes from frame to frame although neither the object's motion nor the camera asks for it. */
import { distance, type Rgb } from './palette.ts';
import type { Silhouette } from './silhouette.ts';

export interface Flicker {
  /** Greatest mean change of the background between neighbouring frames, 0–255. */
  readonly background: number;
  /** Greatest change of the object's colour between neighbouring frames, 0–255. */
  readonly colour: number;
  /** Greatest sudden change of the object's size: second difference of its logarithm. */
  readonly size: number;
}

/** Drawn clips stay below a half of these (see test/demo); frames that belong to different clips do not. */
export const BOUNDS: Flicker = { background: 5, colour: 40, size: 0.35 };

function greatest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), 0);
}

/**
 * @param changes of the background, frame by frame
 * @param colours of the object in every frame, where there is one
 */
export function measureFlicker(
  changes: readonly number[],
  colours: readonly (Rgb | undefined)[],
  silhouettes: readonly (Silhouette | undefined)[],
): Flicker {
  if (silhouettes.some((silhouette) => silhouette === undefined)) {
    return { background: greatest(changes), colour: 255, size: Number.POSITIVE_INFINITY };
  }
  const sizes = silhouettes.map((silhouette) => Math.log(silhouette?.scale ?? 1));
  return {
    background: greatest(changes),
    colour: greatest(
      colours.slice(1).map((colour, i) => distance(colour ?? [0, 0, 0], colours[i] ?? [0, 0, 0])),
    ),
    size: greatest(
      sizes.slice(2).map((size, i) => Math.abs(size - 2 * (sizes[i + 1] ?? 0) + (sizes[i] ?? 0))),
    ),
  };
}

export function isSmooth({ background, colour, size }: Flicker): boolean {
  return background <= BOUNDS.background && colour <= BOUNDS.colour && size <= BOUNDS.size;
}
