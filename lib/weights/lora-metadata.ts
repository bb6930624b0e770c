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
  const patterns = {
    unet: patternLookup(config['unet.alpha_pattern']),
    text_encoder: patternLookup(config['text_encoder.alpha_pattern']),
  };
  return (role, layer, rank) => {
    const alpha = number(patterns[role](layer) ?? config[`${role}.lora_alpha`]);
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

/**
 * Finds the first entry whose key is a layer, or the end of its path. The ends of a path are few, and the entries
 * of a hostile header may be as many as its layers.
 */
function patternLookup(patterns: unknown): (layer: string) => unknown {
  const entries = typeof patterns === 'object' && patterns !== null ? Object.entries(patterns) : [];
  const places = new Map<string, number>();
  for (const [index, [key]] of entries.entries()) {
    const end = `_${key.replaceAll('.', '_')}`;
    if (!places.has(end)) places.set(end, index);
  }
  return (layer) => {
    const path = `_${layer}`;
    let first = Number.POSITIVE_INFINITY;
    for (let at = 0; at >= 0; at = path.indexOf('_', at + 1))
      first = Math.min(first, places.get(path.slice(at)) ?? first);
    return entries[first]?.[1];
  };
}
