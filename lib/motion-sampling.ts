/**
 * How a motion module wants to be sampled. Distilled modules (AnimateLCM, AnimateDiff-Lightning) give noise or
 * burnt colours with the settings of AnimateDiff's own; a call that says nothing gets theirs.
 */
import type { Notice } from './events.ts';
import type { MotionVersion, SchedulerOptions } from './options.ts';
import { describeScheduler, resolveScheduler, type SchedulerContext } from './scheduler.ts';

/** Settings of a `generate` call that gives none. */
export interface SamplingDefaults {
  readonly scheduler: SchedulerOptions;
  readonly steps: number;
  readonly guidanceScale: number;
}

/** What is known about a motion module. */
export interface MotionFacts {
  readonly version: MotionVersion;
  /** Steps that an AnimateDiff-Lightning module was distilled for; absent where neither name nor options say. */
  readonly steps?: number;
}

/** Without a motion module, and of AnimateDiff v1 to v3 (guoyww/AnimateDiff `configs/inference`). */
const ANIMATEDIFF: SamplingDefaults = { scheduler: { name: 'ddim' }, steps: 25, guidanceScale: 7.5 };

/** The module of ByteDance/AnimateDiff-Lightning that its model card recommends first. */
const LIGHTNING_STEPS = 4;

const DEFAULTS: Readonly<Record<MotionVersion, SamplingDefaults>> = {
  v1: ANIMATEDIFF,
  v2: ANIMATEDIFF,
  v3: ANIMATEDIFF,
  // G-U-N/AnimateLCM `animatelcm_sd15/configs`. Betas are linear, as they are by default here.
  animatelcm: {
    scheduler: { name: 'lcm', originalInferenceSteps: 100 },
    steps: 4,
    guidanceScale: 1.5,
  },
  // Lin and Yang, AnimateDiff-Lightning, arXiv 2403.12706, and its model card.
  lightning: {
    scheduler: { name: 'euler', timestepSpacing: 'trailing' },
    steps: LIGHTNING_STEPS,
    guidanceScale: 1,
  },
};

/** The settings that a motion module was made for. */
export function samplingDefaults(motion: MotionFacts | undefined): SamplingDefaults {
  if (motion === undefined) return ANIMATEDIFF;
  const defaults = DEFAULTS[motion.version];
  return motion.steps === undefined ? defaults : { ...defaults, steps: motion.steps };
}

const TITLES: Readonly<Partial<Record<MotionVersion, string>>> = {
  animatelcm: 'AnimateLCM',
  lightning: 'AnimateDiff-Lightning',
};

/** What a user should know about the settings of a module; nothing for AnimateDiff's own. */
export function samplingNotices(motion: MotionFacts | undefined, context: SchedulerContext): Notice[] {
  const title = motion && TITLES[motion.version];
  if (title === undefined) return [];
  const { scheduler, steps, guidanceScale } = samplingDefaults(motion);
  const described = describeScheduler(resolveScheduler(scheduler, context), context);
  const assumed =
    motion?.version === 'lightning' && motion.steps === undefined
      ? ' Its name does not say for how many steps it was made: give `motionModule.steps` (1, 2, 4 or 8).'
      : '';
  return [
    {
      code: 'motion-sampling',
      message:
        `The motion module is ${title}: calls that do not say otherwise take the scheduler ${described}, ` +
        `${steps} ${steps === 1 ? 'step' : 'steps'} and the guidance scale ${guidanceScale}.${assumed}`,
    },
  ];
}

/** A Lightning module gives its quality at its own number of steps. */
export function stepNotices(motion: MotionFacts | undefined, steps: number): Notice[] {
  if (motion?.version !== 'lightning' || motion.steps === undefined || motion.steps === steps) return [];
  const message =
    `The motion module was made for ${motion.steps} ${motion.steps === 1 ? 'step' : 'steps'}, and ${steps} were ` +
    'asked for. Take its own number, or the module for yours.';
  return [{ code: 'lightning-steps', message }];
}
