/** Scheduler options with AnimateDiff's defaults, as the engine takes them. */
import type { NativeScheduler } from './native.ts';
import type { Compat, DdimOptions, Scheduler } from './options.ts';
import {
  requireBoolean,
  requireChoice,
  requireInteger,
  requireKnownKeys,
  requireNumber,
  requireObject,
} from './validate.ts';

// In the order of the engine's enumerations.
const SPACINGS = ['leading', 'linspace', 'trailing'] as const;
const BETAS = ['linear', 'scaled_linear'] as const;
const PREDICTIONS = ['epsilon', 'v_prediction', 'sample'] as const;

const KEYS: readonly (keyof DdimOptions)[] = [
  'name',
  'timestepSpacing',
  'eta',
  'betaSchedule',
  'betaStart',
  'betaEnd',
  'stepsOffset',
  'setAlphaToOne',
  'predictionType',
];

/** Every option of a scheduler, filled in. */
export type ResolvedScheduler = Required<DdimOptions>;

/** What the defaults of a scheduler depend on. */
export interface SchedulerContext {
  /**
   * Decides the last step's alpha: 1 in the original, the first of `alphas_cumprod` where diffusers inherits
   * Stable Diffusion's own configuration.
   */
  readonly compat: Compat;
  /** What the base model's files say that the UNet predicts. Default `epsilon`. */
  readonly predictionType?: DdimOptions['predictionType'];
}

/** Fills defaults and checks ranges. */
export function resolveScheduler(scheduler: Scheduler, context: SchedulerContext): ResolvedScheduler {
  const given = typeof scheduler === 'string' ? { name: scheduler } : requireObject('scheduler', scheduler);
  requireKnownKeys('scheduler', given, KEYS);
  const options: DdimOptions = given;
  return {
    name: requireChoice('scheduler', options.name, ['ddim']),
    timestepSpacing: requireChoice(
      'scheduler.timestepSpacing',
      options.timestepSpacing ?? 'leading',
      SPACINGS,
    ),
    eta: requireNumber('scheduler.eta', options.eta ?? 0, 0, 1),
    betaSchedule: requireChoice('scheduler.betaSchedule', options.betaSchedule ?? 'linear', BETAS),
    betaStart: requireNumber('scheduler.betaStart', options.betaStart ?? 0.00085, 1e-8, 0.5),
    betaEnd: requireNumber('scheduler.betaEnd', options.betaEnd ?? 0.012, 1e-8, 0.5),
    stepsOffset: requireInteger('scheduler.stepsOffset', options.stepsOffset ?? 1, 0, 999),
    setAlphaToOne: requireBoolean(
      'scheduler.setAlphaToOne',
      options.setAlphaToOne ?? context.compat === 'original',
    ),
    predictionType: requireChoice(
      'scheduler.predictionType',
      options.predictionType ?? context.predictionType ?? 'epsilon',
      PREDICTIONS,
    ),
  };
}

/** The engine's form. */
export function nativeScheduler(scheduler: ResolvedScheduler, steps: number): NativeScheduler {
  return {
    betas: BETAS.indexOf(scheduler.betaSchedule),
    betaStart: scheduler.betaStart,
    betaEnd: scheduler.betaEnd,
    spacing: SPACINGS.indexOf(scheduler.timestepSpacing),
    steps,
    stepsOffset: scheduler.stepsOffset,
    setAlphaToOne: scheduler.setAlphaToOne,
    prediction: PREDICTIONS.indexOf(scheduler.predictionType),
    eta: scheduler.eta,
  };
}

/** One line for metadata: the name, and what differs from the defaults. */
export function describeScheduler(scheduler: ResolvedScheduler, context: SchedulerContext): string {
  const defaults = resolveScheduler(scheduler.name, context);
  const changed = KEYS.filter((key) => scheduler[key] !== defaults[key]).map(
    (key) => `${key}=${scheduler[key]}`,
  );
  return changed.length === 0 ? scheduler.name : `${scheduler.name} (${changed.join(', ')})`;
}
