/**
 * The alphas that diffusers writes into the header of a LoRA (`lora_adapter_metadata`), where the tensors
 * themselves have none: PEFT's `LoraConfig`, with `unet.` or `text_encoder.` in front of each key.
 */

/** alpha / rank of a layer, whose name has `_` for every `.`; 1 where nothing is stated. */
export type StatedRatio = (role: 'unet' | 'text_encoder', layer: string, rank: number) => number;

type Json = Readonly<Record<string, unknown>>;

/** What the header of a file states. Never throws: other text under that key states nothing. */
export function statedRatio(metadata: Readonly<Record<string, string>>): StatedRatio {
  const config = parse(metadata.lora_adapter_metadata);
  return (role, layer, rank) => {
    const alpha = number(
      patternValue(config[`${role}.alpha_pattern`], layer) ?? config[`${role}.lora_alpha`],
    );
    if (alpha === undefined || rank === 0) return 1;
    return alpha / (config[`${role}.use_rslora`] === true ? Math.sqrt(rank) : rank);
  };
}

function parse(text: string | undefined): Json {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Json) : {};
  } catch {
    return {};
  }
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** The entry whose key is the layer, or the end of its path. */
function patternValue(patterns: unknown, layer: string): unknown {
  if (typeof patterns !== 'object' || patterns === null) return undefined;
  const fits = (key: string) => `_${layer}`.endsWith(`_${key.replaceAll('.', '_')}`);
  return Object.entries(patterns).find(([key]) => fits(key))?.[1];
}
