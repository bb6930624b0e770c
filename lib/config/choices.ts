/** Values to choose from, shared by the schema and by the flags of the command line. */
import type {
  BetaSchedule,
  Compat,
  Dtype,
  MotionVersion,
  PromptInterpolation,
  PromptSyntax,
  SchedulerAlias,
  SchedulerName,
  TimestepSpacing,
} from '../options.ts';

export const COMPATS = ['original', 'diffusers'] as const satisfies readonly Compat[];
export const DTYPES = ['auto', 'float32', 'bfloat16', 'float16'] as const satisfies readonly Dtype[];
export const MOTION_VERSIONS = [
  'v1',
  'v2',
  'v3',
  'animatelcm',
  'lightning',
] as const satisfies readonly MotionVersion[];
export const SCHEDULERS = [
  'ddim',
  'euler',
  'euler_a',
  'dpm++_2m',
  'lcm',
  'pndm',
] as const satisfies readonly SchedulerName[];
export const SCHEDULER_SPELLINGS = [
  'dpmpp_2m',
  'k_dpmpp_2m',
  'plms',
  'DDIM',
  'Euler',
  'Euler a',
  'DPM++ 2M',
  'DPM++ 2M Karras',
  'LCM',
  'PLMS',
] as const satisfies readonly SchedulerAlias[];
export const PROMPT_SYNTAXES = ['weighted', 'plain'] as const satisfies readonly PromptSyntax[];
export const PROMPT_INTERPOLATIONS = ['lerp', 'slerp'] as const satisfies readonly PromptInterpolation[];
export const TIMESTEP_SPACINGS = [
  'leading',
  'linspace',
  'trailing',
] as const satisfies readonly TimestepSpacing[];
export const BETA_SCHEDULES = ['linear', 'scaled_linear'] as const satisfies readonly BetaSchedule[];
export const PREDICTION_TYPES = ['epsilon', 'v_prediction', 'sample'] as const;
/** Steps for which there are AnimateDiff-Lightning modules. */
export const LIGHTNING_STEPS = [1, 2, 4, 8] as const;

/** Formats that a clip can be written in; `png` is a folder of frames, or one file for a single image. */
export const CLIP_FORMATS = ['gif', 'webp', 'apng', 'png'] as const;
export type ClipFormat = (typeof CLIP_FORMATS)[number];

/** `a, b or c`. */
export function orList(values: readonly string[]): string {
  const last = values[values.length - 1] ?? '';
  return values.length > 1 ? `${values.slice(0, -1).join(', ')} or ${last}` : last;
}
