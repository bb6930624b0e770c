/** Loads the model that a configuration names, with progress and notices on stderr. */

import type { Config } from '../config/schema.ts';
import { LOAD_KEYS, pick } from '../config/schema.ts';
import type { LoadProgress, Notice } from '../events.ts';
import type { Context } from './context.ts';
import type { ProgressEvent } from './progress.ts';
import type { Report } from './report.ts';
import { need } from './request.ts';
import type { Pipeline } from './services.ts';

const PHASES: Readonly<Record<LoadProgress['phase'], Pick<ProgressEvent, 'label' | 'unit'>>> = {
  download: { label: 'download', unit: 'bytes' },
  plan: { label: 'read headers', unit: 'steps' },
  weights: { label: 'load weights', unit: 'bytes' },
};

/** A pipeline, and what it wanted the user to know. Closing it is up to the caller. */
export async function loadModel(
  config: Config,
  libtorch: string | undefined,
  context: Context,
  report: Report,
): Promise<{ readonly pipeline: Pipeline; readonly notices: readonly Notice[] }> {
  const notices: Notice[] = [];
  const pipeline = await context.services.load({
    ...pick(config, LOAD_KEYS),
    base: need(config, 'base'),
    libtorch,
    signal: context.signal,
    onProgress: ({ phase, done, total }) => {
      report.progress.update({ ...PHASES[phase], done, total });
    },
    onNotice: (notice) => {
      // The same negative prompt is cut again for every clip, and told once.
      if (notices.some(({ message }) => message === notice.message)) return;
      notices.push(notice);
      report.note(notice.message);
    },
  });
  report.progress.clear();
  return { pipeline, notices };
}
