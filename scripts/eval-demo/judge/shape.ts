/** Names the shape of silhouettes and finds how they are turned, by comparing them with turned templates. */
import { type Sdf, SHAPES } from './shapes.ts';
import type { Silhouette } from './silhouette.ts';

/** Side of the small picture that silhouettes are compared in. */
const SIDE = 32;
/** What that picture shows, in square roots of the object's area around its centre of gravity. */
const REACH = 1.15;
/** Degrees between turned templates. */
const STEP = 5;
/** How much wider than high an object is in the templates: a bouncing one is squashed on the ground. */
const SQUASHES = [1, 1.16] as const;
/** Frames whose object is cut off by the picture's edge say little. */
const CUT_WEIGHT = 0.2;

interface Template {
  /** [SIDE, SIDE], share of each cell inside. */
  readonly cover: Float32Array;
  readonly sum: number;
  /** Degrees clockwise. */
  readonly angle: number;
}

/** Calls `visit` with the centre of every cell, in units of REACH. */
function cells(side: number, visit: (u: number, v: number, index: number) => void): void {
  for (let index = 0; index < side * side; index += 1) {
    visit(((index % side) + 0.5) * (2 / side) - 1, (Math.floor(index / side) + 0.5) * (2 / side) - 1, index);
  }
}

/** Area and centre of gravity of a shape. */
function moments(sdf: Sdf) {
  const side = 256;
  const reach = 1.4;
  let [count, x, y] = [0, 0, 0];
  cells(side, (u, v) => {
    if (sdf(u * reach, v * reach) > 0) return;
    count += 1;
    x += u * reach;
    y += v * reach;
  });
  return { area: count * (2 * (reach / side)) ** 2, x: x / count, y: y / count };
}

function template(
  sdf: Sdf,
  { area, x, y }: ReturnType<typeof moments>,
  angle: number,
  squash: number,
): Template {
  const unit = Math.sqrt(area);
  const [cos, sin] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  const softness = (2 * REACH * unit) / SIDE;
  const cover = new Float32Array(SIDE * SIDE);
  cells(SIDE, (u, v, index) => {
    const [px, py] = [(u * REACH * unit) / squash, v * REACH * unit * squash];
    const inside = -sdf(cos * px + sin * py + x, cos * py - sin * px + y);
    cover[index] = Math.min(1, Math.max(0, inside / softness + 0.5));
  });
  return { cover, sum: cover.reduce((total, value) => total + value, 0), angle };
}

function templatesOf(name: string): Template[] {
  const { sdf, symmetry } = SHAPES[name] as (typeof SHAPES)[string];
  const measured = moments(sdf);
  const range = symmetry === 0 ? STEP : 360 / symmetry;
  const angles = Array.from({ length: Math.round(range / STEP) }, (_, i) => i * STEP);
  return SQUASHES.flatMap((squash) => angles.map((angle) => template(sdf, measured, angle, squash)));
}

let cache: Readonly<Record<string, Template[]>> | undefined;

function templates() {
  cache ??= Object.fromEntries(Object.keys(SHAPES).map((name) => [name, templatesOf(name)]));
  return cache;
}

/** The silhouette as templates are: centred, and of the same area. */
function normalise({ mask, x, y, scale }: Silhouette): Float32Array {
  const side = Math.sqrt(mask.length);
  const reach = scale * side * REACH;
  const fine = 2;
  const picture = new Float32Array(SIDE * SIDE);
  cells(SIDE * fine, (u, v, index) => {
    const [column, row] = [Math.floor(x * side + u * reach), Math.floor(y * side + v * reach)];
    if (column < 0 || row < 0 || column >= side || row >= side || mask[row * side + column] === 0) return;
    const cell = Math.floor(index / (SIDE * fine) / fine) * SIDE + Math.floor((index % (SIDE * fine)) / fine);
    picture[cell] = (picture[cell] ?? 0) + 1 / fine ** 2;
  });
  return picture;
}

/** Intersection over union of two soft pictures. */
function overlap(picture: Float32Array, sum: number, { cover, sum: other }: Template): number {
  let common = 0;
  for (let i = 0; i < picture.length; i += 1) common += Math.min(picture[i] as number, cover[i] as number);
  return common / (sum + other - common);
}

interface Fit {
  readonly score: number;
  readonly angle: number;
}

function bestFit(picture: Float32Array, candidates: readonly Template[]): Fit {
  const sum = picture.reduce((total, value) => total + value, 0);
  let best: Fit = { score: 0, angle: 0 };
  for (const candidate of candidates) {
    const score = overlap(picture, sum, candidate);
    if (score > best.score) best = { score, angle: candidate.angle };
  }
  return best;
}

export interface ShapeVerdict {
  readonly shape: string;
  /** Mean overlap with its template, 0–1. */
  readonly score: number;
  /** Turn of each frame's object in degrees clockwise, in 0…360 / symmetry; `undefined` where there is none. */
  readonly angles: readonly (number | undefined)[];
  /** Turns after which it looks the same; 0 for round shapes. */
  readonly symmetry: number;
}

/** The shape whose templates fit all frames best. */
export function judgeShape(silhouettes: readonly (Silhouette | undefined)[]): ShapeVerdict {
  const pictures = silhouettes.map((silhouette) => silhouette && normalise(silhouette));
  const weights = silhouettes.map((one) => (one === undefined ? 0 : one.scale * (one.cut ? CUT_WEIGHT : 1)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const verdicts = Object.entries(templates()).map(([shape, candidates]): ShapeVerdict => {
    const fits = pictures.map((picture) => picture && bestFit(picture, candidates));
    const score = fits.reduce((sum, fit, i) => sum + (fit?.score ?? 0) * (weights[i] ?? 0), 0) / (total || 1);
    const symmetry = SHAPES[shape]?.symmetry ?? 0;
    return { shape, score, angles: fits.map((fit) => fit?.angle), symmetry };
  });
  return verdicts.reduce((best, verdict) => (verdict.score > best.score ? verdict : best));
}
