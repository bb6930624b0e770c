/**
 * The adapters of a loaded pipeline and how they are changed: the parameters that the old or the new ones touch
 * are read again from the base's files, so that nothing of an adapter that was taken away is left.
 */
import { AnimateDiffError } from './errors.ts';
import type { Notice } from './events.ts';
import type { LoadedModel } from './load.ts';
import type { AppliedLora } from './options.ts';
import { type LoraPlan, type LoraRequest, type LoraRole, planLoras } from './weights/loras.ts';
import type { Recipe } from './weights/types.ts';

const ROLES: readonly LoraRole[] = ['text_encoder', 'unet'];

type Model = Pick<LoadedModel, 'engine' | 'plans' | 'loras' | 'sources'>;

/** What is merged into the weights of one pipeline. */
export class Adapters {
  readonly #model: Model;
  #current: LoraPlan;
  /** Why the weights are neither the old nor the new ones. */
  #broken: unknown;

  constructor(model: Model) {
    this.#model = model;
    this.#current = model.loras;
  }

  /** Those of a baked archive first. */
  get applied(): readonly AppliedLora[] {
    return [...(this.#model.sources.loras ?? []), ...this.#current.loras];
  }

  /** What is merged over the plans of the model. */
  get plan(): LoraPlan {
    return this.#current;
  }

  /** Throws when a failed change could not be undone. */
  requireWhole(): void {
    if (this.#broken === undefined) return;
    throw new AnimateDiffError(
      'ERR_ENGINE',
      'The LoRAs of this pipeline were changed only in part, and the files of its base could not be read again. Load it again.',
      { cause: this.#broken },
    );
  }

  /**
   * Replaces all adapters. Everything is planned before a parameter changes, and after a failure the old values
   * are read again.
   */
  async replace(requests: readonly LoraRequest[], notify: (notice: Notice) => void): Promise<void> {
    const next = await planLoras(requests, this.#model.plans);
    const before = this.#current;
    let changed = false;
    try {
      await this.#bind(before, next, () => {
        changed = true;
      });
    } catch (error) {
      if (changed) await this.#restore(next, before);
      throw error;
    }
    this.#current = next;
    this.#broken = undefined;
    for (const notice of next.notices) notify(notice);
  }

  async #restore(failed: LoraPlan, before: LoraPlan): Promise<void> {
    try {
      await this.#bind(failed, before);
    } catch (error) {
      this.#broken = error;
    }
  }

  /** Fills the parameters that either plan touches as `to` says; tells after each. */
  async #bind(from: LoraPlan, to: LoraPlan, onChange?: () => void): Promise<void> {
    for (const role of ROLES) {
      const recipes = this.#recipes(role, from, to);
      if (recipes.length > 0) await this.#model.engine.rebind(role, recipes, onChange);
    }
  }

  #recipes(role: LoraRole, from: LoraPlan, to: LoraPlan): readonly Recipe[] {
    return (this.#model.plans[role]?.recipes ?? []).flatMap((recipe) => {
      const terms = to.terms[role].get(recipe.target);
      if (recipe.kind !== 'copy' || (terms === undefined && !from.terms[role].has(recipe.target))) return [];
      return { ...recipe, terms };
    });
  }
}
