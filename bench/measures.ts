/** What is measured: names, units, and which turns of a side yield each value. A table, so that a row is a line. */

/** What a process of one side is asked to do after it has loaded the model, in this order. */
export const TASKS = ['unet', 'clip', 'unguided', 'lora'] as const;
export type Task = (typeof TASKS)[number];

export type Unit = 'seconds' | 'milliseconds' | 'bytes';

export interface MeasureFacts {
  readonly title: string;
  readonly unit: Unit;
  /** `--only` names it so; several measures may share a name. */
  readonly part: string;
  /** Task of a warm turn that yields it, or the turn that is a process of its own. */
  readonly from: Task | 'fresh' | 'demo';
}

export const MEASURES = {
  unet: { title: 'one UNet call (guidance batch)', unit: 'seconds', part: 'unet', from: 'unet' },
  step: { title: 'one guided step within a clip', unit: 'seconds', part: 'step', from: 'clip' },
  decode: { title: 'VAE decode, all frames', unit: 'seconds', part: 'vae', from: 'clip' },
  clip: { title: 'end to end, prompt to frames', unit: 'seconds', part: 'end-to-end', from: 'clip' },
  firstFrame: { title: 'time to first frame', unit: 'seconds', part: 'first-frame', from: 'clip' },
  unguidedStep: {
    title: 'one step without guidance, 4 steps',
    unit: 'seconds',
    part: 'unguided',
    from: 'unguided',
  },
  lora: { title: 'change of a LoRA', unit: 'seconds', part: 'lora', from: 'lora' },
  load: { title: 'load', unit: 'seconds', part: 'load', from: 'fresh' },
  coldStart: { title: 'process start to first step', unit: 'seconds', part: 'cold-start', from: 'fresh' },
  coldStep: { title: 'process start to first step done', unit: 'seconds', part: 'cold-start', from: 'fresh' },
  hostPeak: { title: 'peak memory, host', unit: 'bytes', part: 'memory', from: 'fresh' },
  devicePeak: { title: 'peak memory, device', unit: 'bytes', part: 'memory', from: 'fresh' },
  eventLoop: { title: 'event-loop delay, p99', unit: 'milliseconds', part: 'event-loop', from: 'clip' },
  demo: { title: 'demo model, command to GIF', unit: 'seconds', part: 'demo', from: 'demo' },
} as const satisfies Record<string, MeasureFacts>;

export type Measure = keyof typeof MEASURES;

export const MEASURE_NAMES = Object.keys(MEASURES) as readonly Measure[];

/** Names that `--only` takes. */
export const PARTS: readonly string[] = [...new Set(Object.values(MEASURES).map(({ part }) => part))];

/** The measures of some parts. */
export function measuresOf(parts: readonly string[]): readonly Measure[] {
  return MEASURE_NAMES.filter((name) => parts.includes(MEASURES[name].part));
}

/** Tasks of a warm turn that some measures need. */
export function tasksOf(measures: readonly Measure[]): readonly Task[] {
  return TASKS.filter((task) => measures.some((name) => MEASURES[name].from === task));
}

/** Does any of the measures come from this kind of turn? */
export function needs(measures: readonly Measure[], turn: 'fresh' | 'demo'): boolean {
  return measures.some((name) => MEASURES[name].from === turn);
}
