/** Pairs prompts, negative prompts and seeds into the clips of one run. */
import type { Config } from '../config/schema.ts';
import { AnimateDiffError } from '../errors.ts';
import type { Prompt, Seed } from '../options.ts';

/** One clip to make. */
export interface Job {
  readonly prompt: Prompt;
  readonly negativePrompt: Prompt;
  readonly seed: Seed;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/**
 * The clips in order: entry i of each list belongs to clip i, and a list of one is used for every clip, as
 * in mmagic's script. Defaults: the empty negative prompt, and seed -1.
 *
 * @throws AnimateDiffError `ERR_INVALID_ARGUMENT` when the lists have different lengths above one.
 */
export function planJobs(config: Pick<Config, 'prompt' | 'negativePrompt' | 'seed'>): Job[] {
  const prompts = [config.prompt ?? []].flat();
  const negatives = [config.negativePrompt ?? ''].flat();
  const seeds = [config.seed ?? -1].flat();
  const length = Math.max(prompts.length, negatives.length, seeds.length);
  if ([prompts, negatives, seeds].some((list) => list.length !== 1 && list.length !== length)) {
    const counts = `${plural(prompts.length, 'prompt')}, ${plural(negatives.length, 'negative prompt')} and ${plural(seeds.length, 'seed')}`;
    throw new AnimateDiffError(
      'ERR_INVALID_ARGUMENT',
      `Got ${counts}, which cannot be paired. Give of each either one, which is used for all, or ${length}.`,
      { details: { prompts: prompts.length, negativePrompts: negatives.length, seeds: seeds.length } },
    );
  }
  const at = <T>(list: readonly T[], index: number): T => (list.length === 1 ? list[0] : list[index]) as T;
  return Array.from({ length }, (_, i) => ({
    prompt: at(prompts, i),
    negativePrompt: at(negatives, i),
    seed: at(seeds, i),
  }));
}
