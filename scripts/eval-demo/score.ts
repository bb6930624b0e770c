/** Holds verdicts against what was asked for, and counts. */
import type { Scene } from './captions.ts';
import type { Verdict } from './judge/judge.ts';
import { CRITERIA, type Criterion, type EvaluationSet, type Goals } from './sets.ts';

/** What is expected of one clip besides its scene. */
export type Expected = Scene & Pick<EvaluationSet, 'style' | 'camera'>;

/** Which criteria a clip meets; a camera that nobody could see is left out. */
export type Marks = Readonly<Partial<Record<Criterion, boolean>>>;

export function mark(verdict: Verdict, expected: Expected): Marks {
  return {
    colour: verdict.colour === expected.colour,
    background: verdict.background === expected.background,
    shape: verdict.shape === expected.shape,
    motion: verdict.motion === expected.motion,
    smooth: verdict.smooth,
    style: verdict.style === expected.style,
    ...(verdict.camera === 'unclear' ? {} : { camera: verdict.camera === expected.camera }),
  };
}

export interface Score {
  readonly right: number;
  readonly of: number;
  /** 0 where there is nothing to count. */
  readonly percent: number;
}

export type Scores = Readonly<Record<Criterion, Score>>;

export function count(marks: readonly Marks[]): Scores {
  const score = (criterion: Criterion): Score => {
    const known = marks.map((each) => each[criterion]).filter((value) => value !== undefined);
    const right = known.filter(Boolean).length;
    return { right, of: known.length, percent: known.length === 0 ? 0 : (100 * right) / known.length };
  };
  return Object.fromEntries(CRITERIA.map((criterion) => [criterion, score(criterion)])) as Scores;
}

/** The goals that were missed. */
export function missed(scores: Scores, goals: Goals): Criterion[] {
  return CRITERIA.filter((criterion) => scores[criterion].percent < (goals[criterion] ?? 0));
}

/** The same verdicts against the captions of other clips: what chance would give. */
export function shuffled<T>(items: readonly T[]): T[] {
  // Half of the list and one more: another combination and another background.
  const shift = Math.floor(items.length / 2) + 1;
  return items.map((_, i) => items[(i + shift) % items.length] as T);
}
