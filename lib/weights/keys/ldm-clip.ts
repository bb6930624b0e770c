/**
 * Names of the CLIP text model (`cond_stage_model.transformer.*` without that prefix) → Hugging Face names.
 * The LDM layout holds Hugging Face's own module; some tools drop the inner `text_model.`.
 */

const TEXT_MODEL =
  /^(?:text_model\.)?((?:embeddings\.(?:token|position)_embedding|encoder\.layers\.\d+|final_layer_norm)\..+)$/;

/** The name with `text_model.` in front, or `undefined` for a name that is none of a CLIP text model. */
export function clipTextKey(name: string): string | undefined {
  const rest = TEXT_MODEL.exec(name)?.[1];
  return rest === undefined ? undefined : `text_model.${rest}`;
}
