/** What the files of a base model say about the quantity that the UNet was trained to predict. */
import type { OpenedModel } from './identify.ts';

export type PredictionType = 'epsilon' | 'v_prediction' | 'sample';

export interface PredictionHint {
  readonly type: PredictionType;
  /** Where it is stated. */
  readonly source: string;
}

/** Spellings of `scheduler_config.json` and of the `modelspec` metadata. */
const SPELLINGS: Readonly<Record<string, PredictionType>> = {
  epsilon: 'epsilon',
  v: 'v_prediction',
  v_prediction: 'v_prediction',
  sample: 'sample',
};

/** The stated prediction type, or `undefined` when the files say nothing: then it is epsilon. */
export function predictionHint({ file, folder }: OpenedModel): PredictionHint | undefined {
  const statements: readonly (readonly [source: string, value: unknown])[] = [
    ['scheduler_config.json', folder?.scheduler?.prediction_type],
    ['modelspec.prediction_type', file.metadata['modelspec.prediction_type']],
    ['the marker v_pred', file.tensors.has('v_pred') ? 'v_prediction' : undefined],
  ];
  for (const [source, value] of statements) {
    if (typeof value !== 'string' || !Object.hasOwn(SPELLINGS, value)) continue;
    const type = SPELLINGS[value];
    if (type !== undefined) return { type, source };
  }
  return undefined;
}
