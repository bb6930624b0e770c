/**
 * The shapes as signed distances, negative inside, x to the right and y downwards, about one unit in radius.
 * They are the templates that silhouettes are compared with.
 */

export type Sdf = (x: number, y: number) => number;

const box =
  (width: number, height: number): Sdf =>
  (x, y) =>
    Math.max(Math.abs(x) - width, Math.abs(y) - height);

/** A star with its tips on the unit circle and its inner corners at radius `inner`, one tip up. */
function pointed(points: number, inner: number): Sdf {
  const sector = (2 * Math.PI) / points;
  const corner = [inner * Math.cos(sector / 2), inner * Math.sin(sector / 2)] as const;
  const length = Math.hypot(corner[0] - 1, corner[1]);
  const normal = [corner[1] / length, (1 - corner[0]) / length] as const;
  return (x, y) => {
    const angle = Math.atan2(x, -y);
    const folded = Math.abs(angle - sector * Math.round(angle / sector));
    const radius = Math.hypot(x, y);
    return (radius * Math.cos(folded) - 1) * normal[0] + radius * Math.sin(folded) * normal[1];
  };
}

const triangle = pointed(3, 0.5);

/** Two lobes on a corner that stands on its tip. */
const heart: Sdf = (x, y) => {
  const u = Math.abs(x) * 0.62;
  const v = 0.52 - y * 0.62;
  if (u + v > 1) return Math.hypot(u - 0.25, v - 0.75) - Math.SQRT2 / 4;
  const foot = Math.max(u + v, 0) / 2;
  return Math.min(Math.hypot(u, v - 1), Math.hypot(u - foot, v - foot)) * Math.sign(u - v);
};

export interface Shape {
  readonly sdf: Sdf;
  /** Number of turns of 360° / symmetry that do not change it; 0 for round shapes. */
  readonly symmetry: number;
}

export const SHAPES: Readonly<Record<string, Shape>> = {
  circle: { sdf: (x, y) => Math.hypot(x, y) - 0.92, symmetry: 0 },
  square: { sdf: box(0.8, 0.8), symmetry: 4 },
  triangle: { sdf: (x, y) => triangle(x, (y - 0.22) * 0.92), symmetry: 3 },
  star: { sdf: pointed(5, 0.46), symmetry: 5 },
  heart: { sdf: heart, symmetry: 1 },
  moon: {
    sdf: (x, y) => Math.max(Math.hypot(x - 0.15, y) - 0.98, 0.8 - Math.hypot(x - 0.62, y + 0.12)),
    symmetry: 1,
  },
  cross: { sdf: (x, y) => Math.min(box(0.98, 0.34)(x, y), box(0.34, 0.98)(x, y)), symmetry: 4 },
  ring: { sdf: (x, y) => Math.abs(Math.hypot(x, y) - 0.72) - 0.25, symmetry: 0 },
};
