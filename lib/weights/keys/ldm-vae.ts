/**
 * VAE names of the LDM layout (`first_stage_model.*` without that prefix) → diffusers names. LDM counts the
 * decoder's levels from the image upwards, diffusers from the latents, so that the order is reversed.
 */

const ATTENTION_PARTS: Readonly<Record<string, string>> = {
  norm: 'group_norm',
  q: 'to_q',
  k: 'to_k',
  v: 'to_v',
  proj_out: 'to_out.0',
};

type Rule = readonly [RegExp, (match: readonly string[], levels: number) => string];

const RULES: readonly Rule[] = [
  [
    /^((?:post_)?quant_conv|(?:en|de)coder\.conv_(?:in|out))\.(weight|bias)$/,
    ([, layer, kind]) => `${layer}.${kind}`,
  ],
  [/^(en|de)coder\.norm_out\.(weight|bias)$/, ([, side, kind]) => `${side}coder.conv_norm_out.${kind}`],
  [
    /^encoder\.down\.(\d+)\.block\.(\d+)\.(.+)$/,
    ([, level, layer, rest]) => `encoder.down_blocks.${level}.resnets.${layer}.${resnetPart(rest)}`,
  ],
  [
    /^encoder\.down\.(\d+)\.downsample\.conv\.(weight|bias)$/,
    ([, level, kind]) => `encoder.down_blocks.${level}.downsamplers.0.conv.${kind}`,
  ],
  [
    /^decoder\.up\.(\d+)\.block\.(\d+)\.(.+)$/,
    ([, level, layer, rest], levels) =>
      `decoder.up_blocks.${levels - 1 - Number(level)}.resnets.${layer}.${resnetPart(rest)}`,
  ],
  [
    /^decoder\.up\.(\d+)\.upsample\.conv\.(weight|bias)$/,
    ([, level, kind], levels) => `decoder.up_blocks.${levels - 1 - Number(level)}.upsamplers.0.conv.${kind}`,
  ],
  [
    /^(en|de)coder\.mid\.block_([12])\.(.+)$/,
    ([, side, block, rest]) => `${side}coder.mid_block.resnets.${Number(block) - 1}.${resnetPart(rest)}`,
  ],
  [
    /^(en|de)coder\.mid\.attn_1\.(norm|q|k|v|proj_out)\.(weight|bias)$/,
    ([, side, part = '', kind]) => `${side}coder.mid_block.attentions.0.${ATTENTION_PARTS[part]}.${kind}`,
  ],
];

/** Number of levels of the decoder that these names belong to: 4 in Stable Diffusion. */
export function ldmVaeLevels(names: Iterable<string>): number {
  let levels = 0;
  for (const name of names) {
    const level = /^decoder\.up\.(\d+)\./.exec(name)?.[1];
    if (level !== undefined) levels = Math.max(levels, Number(level) + 1);
  }
  return levels;
}

/** The diffusers name, or `undefined` for a name that is not of the LDM layout. */
export function ldmVaeKey(name: string, levels: number): string | undefined {
  for (const [pattern, rename] of RULES) {
    const match = pattern.exec(name);
    if (match !== null) return rename(match, levels);
  }
  return undefined;
}

function resnetPart(rest: string | undefined): string | undefined {
  return rest?.replace(/^nin_shortcut\./, 'conv_shortcut.');
}

const LDM_ATTENTION_PARTS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(ATTENTION_PARTS).map(([ldm, diffusers]) => [diffusers, ldm]),
);

const NAMINGS: readonly Rule[] = [
  [/^((?:post_)?quant_conv|(?:en|de)coder\.conv_(?:in|out))\.(.+)$/, ([name]) => `${name}`],
  [/^(en|de)coder\.conv_norm_out\.(.+)$/, ([, side, kind]) => `${side}coder.norm_out.${kind}`],
  [
    /^encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.(.+)$/,
    ([, level, layer, rest]) => `encoder.down.${level}.block.${layer}.${ldmResnetPart(rest)}`,
  ],
  [
    /^encoder\.down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)$/,
    ([, level, kind]) => `encoder.down.${level}.downsample.conv.${kind}`,
  ],
  [
    /^decoder\.up_blocks\.(\d+)\.resnets\.(\d+)\.(.+)$/,
    ([, level, layer, rest], levels) =>
      `decoder.up.${levels - 1 - Number(level)}.block.${layer}.${ldmResnetPart(rest)}`,
  ],
  [
    /^decoder\.up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)$/,
    ([, level, kind], levels) => `decoder.up.${levels - 1 - Number(level)}.upsample.conv.${kind}`,
  ],
  [
    /^(en|de)coder\.mid_block\.resnets\.([01])\.(.+)$/,
    ([, side, block, rest]) => `${side}coder.mid.block_${Number(block) + 1}.${ldmResnetPart(rest)}`,
  ],
  [
    /^(en|de)coder\.mid_block\.attentions\.0\.(group_norm|to_[qkv]|to_out\.0)\.(weight|bias)$/,
    ([, side, part = '', kind]) => `${side}coder.mid.attn_1.${LDM_ATTENTION_PARTS[part]}.${kind}`,
  ],
];

/** The LDM name of a parameter from its diffusers name; `undefined` for one that LDM does not have. */
export function ldmVaeName(name: string, levels: number): string | undefined {
  for (const [pattern, rename] of NAMINGS) {
    const match = pattern.exec(name);
    if (match !== null) return rename(match, levels);
  }
  return undefined;
}

function ldmResnetPart(rest: string | undefined): string | undefined {
  return rest?.replace(/^conv_shortcut\./, 'nin_shortcut.');
}
