/**
 * Names the motion: of all motions, the one whose usual course lies nearest to the measured one. Where a course
 * begins is free, its direction and length are not.
 */
import { type Move, toPicture } from './camera.ts';
import type { ShapeVerdict } from './shape.ts';
import type { Silhouette } from './silhouette.ts';

/** Length of a straight way, picture heights. */
const WAY = 0.44;
/** Height of a bounce; there are two per clip. */
const BOUNCE = 0.38;
/** Radius of a round. */
const ROUND = 0.24;
/** Natural logarithm of the size at the end over that at the beginning. */
const GROWTH = 0.77;
/** Picture heights that a unit of the logarithm of the size counts for. */
const SIZE_WEIGHT = 0.4;
/** Root mean square distance (picture heights) from the nearest course beyond which it is none of them. */
export const UNCLEAR = 0.1;
/** Degrees that a spinning object turns at least; a whole turn less one frame would be 337. */
const TURN = 150;
/** Starting points of periodic motions that are tried. */
const PHASES = 32;

/** Centre and the logarithm of the size, all free of an unknown offset. */
type Course = (moment: number) => readonly [x: number, y: number, size: number];

interface Motion {
  readonly name: string;
  readonly courses: readonly Course[];
}

const phases = (course: (phase: number) => Course): Course[] =>
  Array.from({ length: PHASES }, (_, i) => course((2 * Math.PI * i) / PHASES));

/** `moment` is 0 at the first frame and 1 at the last; periodic motions go on for 16 / 15 of that. */
const PERIOD = (2 * Math.PI * 15) / 16;
const STANDING = 'standing still';
const MOTIONS: readonly Motion[] = [
  { name: 'moving left', courses: [(t) => [-WAY * t, 0, 0]] },
  { name: 'moving right', courses: [(t) => [WAY * t, 0, 0]] },
  { name: 'moving up', courses: [(t) => [0, -WAY * t, 0]] },
  { name: 'moving down', courses: [(t) => [0, WAY * t, 0]] },
  {
    name: 'bouncing',
    courses: phases((phase) => (t) => [0, -BOUNCE * Math.abs(Math.sin(PERIOD * t + phase)), 0]),
  },
  { name: 'growing', courses: [(t) => [0, 0, GROWTH * t]] },
  { name: 'shrinking', courses: [(t) => [0, 0, -GROWTH * t]] },
  {
    name: 'circling',
    courses: phases((phase) => (t) => [
      ROUND * Math.cos(PERIOD * t + phase),
      ROUND * Math.sin(PERIOD * t + phase),
      0,
    ]),
  },
  { name: STANDING, courses: [() => [0, 0, 0]] },
];

interface Point {
  readonly moment: number;
  readonly place: readonly [x: number, y: number, size: number];
}

/** The measured course in the world, with the camera's move undone. */
function measuredCourse(silhouettes: readonly (Silhouette | undefined)[], move: Move): Point[] {
  return silhouettes.flatMap((silhouette, index): Point[] => {
    if (silhouette === undefined) return [];
    const moment = index / (silhouettes.length - 1);
    const { shift, scale } = toPicture(move, moment);
    const { x, y, scale: size } = silhouette;
    return [{ moment, place: [(x - 0.5) / scale - shift, (y - 0.5) / scale, Math.log(size / scale)] }];
  });
}

/** Root mean square distance of the points from a course that is shifted to fit best. */
function misfit(points: readonly Point[], course: Course): number {
  const expected = points.map(({ moment }) => course(moment));
  return Math.sqrt(
    ([0, 1, 2] as const).reduce<number>((total, axis) => {
      const differences = points.map(({ place }, i) => place[axis] - (expected[i]?.[axis] ?? 0));
      const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
      const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / differences.length;
      return total + variance * (axis === 2 ? SIZE_WEIGHT ** 2 : 1);
    }, 0),
  );
}

/** Degrees that the object turns over the clip, each step the shorter way round. */
export function totalTurn({ angles, symmetry }: Pick<ShapeVerdict, 'angles' | 'symmetry'>): number {
  if (symmetry === 0) return 0;
  const period = 360 / symmetry;
  const known = angles.filter((angle) => angle !== undefined);
  return known.slice(1).reduce((total, angle, i) => {
    const step = angle - (known[i] ?? 0);
    return total + step - period * Math.round(step / period);
  }, 0);
}

export interface MotionVerdict {
  /** `unclear` when the course is like none of them. */
  readonly motion: string;
  /** Distance from the nearest course, picture heights. */
  readonly misfit: number;
}

export function judgeMotion(
  silhouettes: readonly (Silhouette | undefined)[],
  shape: Pick<ShapeVerdict, 'angles' | 'symmetry'>,
  move: Move,
): MotionVerdict {
  const points = measuredCourse(silhouettes, move);
  if (points.length < 0.75 * silhouettes.length)
    return { motion: 'unclear', misfit: Number.POSITIVE_INFINITY };
  const best = MOTIONS.map(({ name, courses }) => ({
    motion: name,
    misfit: Math.min(...courses.map((course) => misfit(points, course))),
  })).reduce((a, b) => (b.misfit < a.misfit ? b : a));
  if (best.misfit > UNCLEAR) return { ...best, motion: 'unclear' };
  if (best.motion === STANDING && Math.abs(totalTurn(shape)) >= TURN) return { ...best, motion: 'spinning' };
  return best;
}
