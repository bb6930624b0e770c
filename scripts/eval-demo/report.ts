/** The table that the evaluation prints. */
import type { Score, Scores } from './score.ts';
import { CRITERIA, type Goals } from './sets.ts';

const NAME = 34;
const CELL = 15;

function cell({ of, percent }: Score, goal: number | undefined): string {
  if (of === 0) return '–';
  const value = `${percent.toFixed(1)} %`;
  if (goal === undefined) return value;
  return `${value} ${percent >= goal ? 'ok' : 'miss'} ${goal}`;
}

const line = (name: string, cells: readonly string[]) =>
  [name.padEnd(NAME), ...cells.map((text) => text.padStart(CELL))].join('').trimEnd();

export function tableHead(): string {
  return line('', CRITERIA);
}

/** One line: the share of clips that meet each criterion, and the goals beside them. */
export function tableRow(name: string, scores: Scores, goals: Goals = {}): string {
  return line(
    name,
    CRITERIA.map((criterion) => cell(scores[criterion], goals[criterion])),
  );
}
