/** The architecture that a LoRA was made for, told by the names and widths of its layers. */

/** Architectures with layers of their own. */
const NAMES: readonly (readonly [architecture: string, pattern: RegExp])[] = [
  ['flux', /(double|single)_blocks[._]\d|single_transformer_blocks[._]\d/],
  ['sd3', /joint_blocks[._]\d|lora_transformer_|^transformer\.transformer_blocks\.\d/],
  ['cascade', /^lora_prior_/],
  ['sdxl', /^lora_te2_|^text_encoder_2\.|clip_g\./],
  // Stable Diffusion 1 and 2 have one block in each transformer.
  ['sdxl', /(blocks[._]\d+|middle_block)[._]1[._]transformer_blocks[._][1-9]/],
  ['sdxl', /_block(s[._]\d)?[._]attentions[._]\d[._]transformer_blocks[._][1-9]/],
];

/** Width of the text embeddings: columns of the factor next to the input of `attn2.to_k` and `to_v`. */
const CONTEXT_WIDTHS: ReadonlyMap<number, string> = new Map([
  [768, 'sd15'],
  [1024, 'sd2'],
  [1280, 'sdxl-refiner'],
  [2048, 'sdxl'],
]);

const CROSS_ATTENTION =
  /attn2[._](?:processor\.)?to_[kv](?:_lora)?\.(?:lora_|lora\.)?(?:down\.weight|A(?:\.\w+)?\.weight|hada_w1_b)$/;

/** `sdxl`, `sd15`, …, or `undefined` when nothing tells. */
export function loraArchitecture(
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): string | undefined {
  const names = [...tensors.keys()];
  const named = NAMES.find(([, pattern]) => names.some((name) => pattern.test(name)))?.[0];
  if (named !== undefined) return named;
  const cross = names.find((name) => CROSS_ATTENTION.test(name));
  return cross === undefined ? undefined : CONTEXT_WIDTHS.get(tensors.get(cross)?.shape[1] ?? 0);
}
