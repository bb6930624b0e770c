/** The command line of the evaluation. */
import { parseFlags, UsageError } from '../../bench/usage.ts';
import type { GenerateOptions } from '../../lib/index.ts';
import { FIRST_SEED } from './captions.ts';
import { type EvaluationSet, SETS } from './sets.ts';

export interface Flags {
  readonly sets: readonly EvaluationSet[];
  /** Laid over the settings of the configurations. */
  readonly overrides: Pick<
    GenerateOptions,
    'scheduler' | 'steps' | 'guidanceScale' | 'guidanceEnd' | 'deepCache'
  >;
  readonly motionScale: number | undefined;
  /** Of each set; undefined: as many as the set has. */
  readonly clips: number | undefined;
  /** Of the first clip. */
  readonly seed: number;
  readonly batch: number;
  /** Folder of another model than the published one. */
  readonly folder: string | undefined;
  readonly sheets: string | undefined;
  readonly json: string | undefined;
}

const OPTIONS = {
  set: { type: 'string', multiple: true },
  clips: { type: 'string' },
  batch: { type: 'string', default: '4' },
  model: { type: 'string' },
  json: { type: 'string' },
  sheets: { type: 'string' },
  scheduler: { type: 'string' },
  steps: { type: 'string' },
  'guidance-scale': { type: 'string' },
  'guidance-end': { type: 'string' },
  'deep-cache': { type: 'string' },
  'motion-scale': { type: 'string' },
  seed: { type: 'string' },
} as const;

const parse = (args: readonly string[]) => parseFlags(args, OPTIONS, 'scripts/eval-demo/README.md');
type Values = ReturnType<typeof parse>;
type Name = Exclude<keyof typeof OPTIONS, 'set'>;

/** The library checks what the numbers mean; here they must only be numbers. */
function number(values: Values, name: Name): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new UsageError(`Expected a number for --${name}, got '${text}'.`);
}

function positive(values: Values, name: Name): number | undefined {
  const value = number(values, name);
  if (value === undefined || (Number.isInteger(value) && value > 0)) return value;
  throw new UsageError(`Expected a positive whole number for --${name}, got '${values[name]}'.`);
}

/** Only what was given, so that nothing is laid over a setting as `undefined`. */
function readOverrides(values: Values): Flags['overrides'] {
  const given = {
    scheduler: values.scheduler,
    steps: number(values, 'steps'),
    guidanceScale: number(values, 'guidance-scale'),
    guidanceEnd: number(values, 'guidance-end'),
    deepCache: number(values, 'deep-cache'),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function chosenSets(names: readonly string[]): readonly EvaluationSet[] {
  const known = SETS.map(({ name }) => name);
  for (const name of names) {
    if (!known.includes(name))
      throw new UsageError(`Expected one of ${known.join(', ')} for --set, got '${name}'.`);
  }
  return names.length === 0 ? SETS : SETS.filter(({ name }) => names.includes(name));
}

/** @throws UsageError */
export function readFlags(args: readonly string[]): Flags {
  const values = parse(args);
  return {
    sets: chosenSets(values.set ?? []),
    overrides: readOverrides(values),
    motionScale: number(values, 'motion-scale'),
    clips: positive(values, 'clips'),
    seed: positive(values, 'seed') ?? FIRST_SEED,
    batch: positive(values, 'batch') ?? 1,
    folder: values.model,
    sheets: values.sheets,
    json: values.json,
  };
}
