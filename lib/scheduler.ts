/** Scheduler options with AnimateDiff's defaults, as the engine takes them. */
import { invalidArgument } from './errors.ts';
import type { NativeScheduler } from './native.ts';
import type { Compat, PredictionType, Scheduler, SchedulerName, SchedulerOptions } from './options.ts';
import {
  requireBoolean,
  requireChoice,
  requireInteger,
  requireKnownKeys,
  requireNumber,
  requireObject,
  requireString,
} from './validate.ts';

// In the order of the engine's enumerations.
const SPACINGS = ['leading', 'linspace', 'trailing'] as const;
const BETAS = ['linear', 'scaled_linear'] as const;
const PREDICTIONS = ['epsilon', 'v_prediction', 'sample'] as const;
const KINDS: readonly SchedulerName[] = ['ddim', 'euler', 'euler_a', 'dpm++_2m', 'lcm', 'pndm'];

/** Other spellings of user interfaces that mean exactly one scheduler. */
export const SCHEDULER_ALIASES = {
  dpmpp_2m: { name: 'dpm++_2m' },
  k_dpmpp_2m: { name: 'dpm++_2m', karrasSigmas: true },
  plms: { name: 'pndm' },
  DDIM: { name: 'ddim' },
  Euler: { name: 'euler' },
  'Euler a': { name: 'euler_a' },
  'DPM++ 2M': { name: 'dpm++_2m' },
  'DPM++ 2M Karras': { name: 'dpm++_2m', karrasSigmas: true },
  LCM: { name: 'lcm' },
  PLMS: { name: 'pndm' },
} as const satisfies Readonly<Record<string, SchedulerOptions>>;

/** Every option that some scheduler has. */
interface AllOptions {
  readonly timestepSpacing: (typeof SPACINGS)[number];
  readonly eta: number;
  readonly karrasSigmas: boolean;
  readonly originalInferenceSteps: number;
  readonly betaSchedule: (typeof BETAS)[number];
  readonly betaStart: number;
  readonly betaEnd: number;
  readonly stepsOffset: number;
  readonly setAlphaToOne: boolean;
  readonly predictionType: PredictionType;
}

type OptionName = keyof AllOptions;

const SHARED = ['betaSchedule', 'betaStart', 'betaEnd', 'predictionType'] as const;

/** The options of each scheduler, and its default spacing: that of its reference in diffusers. */
const SCHEDULERS: Readonly<
  Record<
    SchedulerName,
    { readonly keys: readonly OptionName[]; readonly spacing: AllOptions['timestepSpacing'] }
  >
> = {
  ddim: { keys: ['timestepSpacing', 'eta', ...SHARED, 'stepsOffset', 'setAlphaToOne'], spacing: 'leading' },
  euler: { keys: ['timestepSpacing', 'karrasSigmas', ...SHARED, 'stepsOffset'], spacing: 'linspace' },
  euler_a: { keys: ['timestepSpacing', ...SHARED, 'stepsOffset'], spacing: 'linspace' },
  'dpm++_2m': { keys: ['timestepSpacing', 'karrasSigmas', ...SHARED, 'stepsOffset'], spacing: 'linspace' },
  lcm: { keys: ['originalInferenceSteps', ...SHARED], spacing: 'leading' },
  pndm: { keys: ['timestepSpacing', ...SHARED, 'stepsOffset', 'setAlphaToOne'], spacing: 'leading' },
};

/** What the UNet may predict for schedulers of which no reference defines `sample`. */
const WITHOUT_SAMPLE: readonly SchedulerName[] = ['euler_a', 'pndm'];

/** Every option filled in; those that the scheduler does not have are at values that the engine ignores. */
export interface ResolvedScheduler extends AllOptions {
  readonly name: SchedulerName;
}

/** What the defaults of a scheduler depend on. */
export interface SchedulerContext {
  /**
   * Decides DDIM's last alpha: 1 in the original, the first of `alphas_cumprod` where diffusers inherits Stable
   * Diffusion's own configuration.
   */
  readonly compat: Compat;
  /** What the base model's files say that the UNet predicts. Default `epsilon`. */
  readonly predictionType?: PredictionType;
  /** What the motion module was made for: taken when none is given, and under options of the same scheduler. */
  readonly moduleScheduler?: SchedulerOptions;
}

function readName(given: object): { readonly name: SchedulerName } & Partial<AllOptions> {
  const name = requireString('scheduler', (given as { readonly name?: unknown }).name);
  if (Object.hasOwn(SCHEDULER_ALIASES, name)) {
    const meant = SCHEDULER_ALIASES[name as keyof typeof SCHEDULER_ALIASES];
    return { ...meant, ...given, name: meant.name };
  }
  return { ...given, name: requireChoice('scheduler', name, KINDS) };
}

/** Fills defaults and checks ranges. Throws `ERR_INVALID_ARGUMENT`, also for options of another scheduler. */
export function resolveScheduler(
  scheduler: Scheduler | undefined,
  context: SchedulerContext,
): ResolvedScheduler {
  const { moduleScheduler } = context;
  const given = scheduler ?? moduleScheduler ?? 'ddim';
  const named = readName(typeof given === 'string' ? { name: given } : requireObject('scheduler', given));
  const { name } = named;
  const { keys, spacing } = SCHEDULERS[name];
  requireKnownKeys('scheduler', named, ['name', ...keys]);
  const options: Partial<AllOptions> = {
    ...(moduleScheduler?.name === name ? moduleScheduler : {}),
    ...Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)),
  };
  const predictionType = requireChoice(
    'scheduler.predictionType',
    options.predictionType ?? context.predictionType ?? 'epsilon',
    PREDICTIONS,
  );
  if (predictionType === 'sample' && WITHOUT_SAMPLE.includes(name)) {
    throw invalidArgument(
      'scheduler.predictionType',
      `'epsilon' or 'v_prediction' with ${name}`,
      predictionType,
    );
  }
  return {
    name,
    predictionType,
    timestepSpacing: requireChoice('scheduler.timestepSpacing', options.timestepSpacing ?? spacing, SPACINGS),
    eta: requireNumber('scheduler.eta', options.eta ?? 0, 0, 1),
    karrasSigmas: requireBoolean('scheduler.karrasSigmas', options.karrasSigmas ?? false),
    originalInferenceSteps: requireInteger(
      'scheduler.originalInferenceSteps',
      options.originalInferenceSteps ?? 50,
      1,
      1000,
    ),
    betaSchedule: requireChoice('scheduler.betaSchedule', options.betaSchedule ?? 'linear', BETAS),
    betaStart: requireNumber('scheduler.betaStart', options.betaStart ?? 0.00085, 1e-8, 0.5),
    betaEnd: requireNumber('scheduler.betaEnd', options.betaEnd ?? 0.012, 1e-8, 0.5),
    stepsOffset: requireInteger('scheduler.stepsOffset', options.stepsOffset ?? 1, 0, 999),
    setAlphaToOne: requireBoolean(
      'scheduler.setAlphaToOne',
      options.setAlphaToOne ?? (name === 'ddim' && context.compat === 'original'),
    ),
  };
}

/** The engine's form. */
export function nativeScheduler(scheduler: ResolvedScheduler, steps: number): NativeScheduler {
  return {
    kind: KINDS.indexOf(scheduler.name),
    betas: BETAS.indexOf(scheduler.betaSchedule),
    betaStart: scheduler.betaStart,
    betaEnd: scheduler.betaEnd,
    spacing: SPACINGS.indexOf(scheduler.timestepSpacing),
    steps,
    stepsOffset: scheduler.stepsOffset,
    setAlphaToOne: scheduler.setAlphaToOne,
    prediction: PREDICTIONS.indexOf(scheduler.predictionType),
    eta: scheduler.eta,
    karrasSigmas: scheduler.karrasSigmas,
    originalInferenceSteps: scheduler.originalInferenceSteps,
  };
}

/** One line for metadata: the name, and what differs from the scheduler's own defaults. */
export function describeScheduler(scheduler: ResolvedScheduler, context: SchedulerContext): string {
  const defaults = resolveScheduler(scheduler.name, { ...context, moduleScheduler: undefined });
  const changed = SCHEDULERS[scheduler.name].keys
    .filter((key) => scheduler[key] !== defaults[key])
    .map((key) => `${key}=${scheduler[key]}`);
  return changed.length === 0 ? scheduler.name : `${scheduler.name} (${changed.join(', ')})`;
}
