/**
 * The captions of the evaluation: combinations of colour, shape and motion that training never saw, in front of
 * all backgrounds in turn, in the plainest wording.
 */
import { readFileSync } from 'node:fs';
import { BACKGROUNDS, COLOURS, MOTIONS, SHAPES } from '../../lib/demo/vocabulary.ts';

/** What a clip is asked to show; names as in lib/demo/vocabulary.ts. */
export interface Scene {
  readonly colour: string;
  readonly shape: string;
  readonly motion: string;
  readonly background: string;
}

type Combination = readonly [colour: string, shape: string, motion: string];

/** Written by scripts/demo/write_held_out.py. */
export const HELD_OUT_FILE = new URL('./held-out.json', import.meta.url);

/** Far from all divisors of the number of combinations, so that neighbours in the list end up far apart. */
const STRIDE = 24;

/** By which the backgrounds are shifted when all combinations had their turn: each meets others then. */
const SHIFT = 2;

/** Seed of the first clip; the others follow. */
export const FIRST_SEED = 1000;

function heldOut(): readonly Combination[] {
  return JSON.parse(readFileSync(HELD_OUT_FILE, 'utf8')) as Combination[];
}

/** The first wording of a thing. */
function plainest(table: Readonly<Record<string, readonly string[]>>, name: string): string {
  return table[name]?.[0] ?? name;
}

/** The caption of a scene, as scripts/demo/drawing/captions.py words it first. */
export function caption({ colour, shape, motion, background }: Scene): string {
  const article = /^[aeiou]/.test(colour) ? 'an' : 'a';
  const words = [plainest(COLOURS, colour), plainest(SHAPES, shape), plainest(MOTIONS, motion)];
  return [article, ...words, plainest(BACKGROUNDS, background)].join(' ');
}

/** A scene to sample, with its seed. */
export interface Task extends Scene {
  readonly seed: number;
}

/**
 * Held-out scenes, always the same; seeds count from `firstSeed`. All combinations come before one comes again, then
 * in front of another background, and any number of them is spread over colours, shapes, motions and backgrounds.
 */
export function selectTasks(
  count: number,
  backgrounds: readonly string[] = Object.keys(BACKGROUNDS),
  firstSeed = FIRST_SEED,
): Task[] {
  const combinations = heldOut();
  return Array.from({ length: count }, (_, i): Task => {
    const [colour, shape, motion] = combinations[(i * STRIDE) % combinations.length] as Combination;
    const round = Math.floor(i / combinations.length);
    const background = backgrounds[(i + SHIFT * round) % backgrounds.length] as string;
    return { colour, shape, motion, background, seed: firstSeed + i };
  });
}
