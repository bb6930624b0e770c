/**
 * Names that published files give to canonical parameters: the LDM layout of single-file checkpoints, the
 * diffusers layout of motion modules, and the VAE attention names of old diffusers files. This is the
 * opposite direction of `lib/weights/keys/`, written independently so that tests mean something.
 */

type Rename = readonly [pattern: RegExp, replacement: string | ((...groups: string[]) => string)];

/** The first rule of each list that matches is applied. */
function rename(name: string, ...lists: readonly (readonly Rename[])[]): string {
  return lists.reduce((current, rules) => {
    const rule = rules.find(([pattern]) => pattern.test(current));
    return rule === undefined ? current : current.replace(rule[0], rule[1] as string);
  }, name);
}

const number = (text: string | undefined) => Number.parseInt(text ?? '', 10);

const UNET_PLACES: readonly Rename[] = [
  [/^conv_in\./, 'input_blocks.0.0.'],
  [/^time_embedding\.linear_1\./, 'time_embed.0.'],
  [/^time_embedding\.linear_2\./, 'time_embed.2.'],
  [/^conv_norm_out\./, 'out.0.'],
  [/^conv_out\./, 'out.2.'],
  [/^mid_block\.resnets\.0\./, 'middle_block.0.'],
  [/^mid_block\.attentions\.0\./, 'middle_block.1.'],
  [/^mid_block\.resnets\.1\./, 'middle_block.2.'],
  [
    /^down_blocks\.(\d)\.(resnets|attentions)\.(\d)\./,
    (_, level, part, layer) =>
      `input_blocks.${3 * number(level) + number(layer) + 1}.${part === 'resnets' ? 0 : 1}.`,
  ],
  [
    /^down_blocks\.(\d)\.downsamplers\.0\.conv\./,
    (_, level) => `input_blocks.${3 * number(level) + 3}.0.op.`,
  ],
  [
    /^up_blocks\.(\d)\.(resnets|attentions)\.(\d)\./,
    (_, level, part, layer) =>
      `output_blocks.${3 * number(level) + number(layer)}.${part === 'resnets' ? 0 : 1}.`,
  ],
  // The upsampler comes after the attention, which the lowest level does not have.
  [
    /^up_blocks\.(\d)\.upsamplers\.0\.conv\./,
    (_, level) => `output_blocks.${3 * number(level) + 2}.${level === '0' ? 1 : 2}.conv.`,
  ],
];

const UNET_RESNET_PARTS: readonly Rename[] = [
  [/^(input_blocks\.\d+\.0|middle_block\.[02]|output_blocks\.\d+\.0)\.norm1\./, '$1.in_layers.0.'],
  [/\.conv1\./, '.in_layers.2.'],
  [/\.time_emb_proj\./, '.emb_layers.1.'],
  [/^(input_blocks\.\d+\.0|middle_block\.[02]|output_blocks\.\d+\.0)\.norm2\./, '$1.out_layers.0.'],
  [/\.conv2\./, '.out_layers.3.'],
  [/\.conv_shortcut\./, '.skip_connection.'],
];

const VAE_PLACES: readonly Rename[] = [
  [/^(en|de)coder\.conv_norm_out\./, '$1coder.norm_out.'],
  [/^encoder\.down_blocks\.(\d)\.resnets\.(\d)\./, 'encoder.down.$1.block.$2.'],
  [/^encoder\.down_blocks\.(\d)\.downsamplers\.0\./, 'encoder.down.$1.downsample.'],
  [
    /^decoder\.up_blocks\.(\d)\.resnets\.(\d)\./,
    (_, level, layer) => `decoder.up.${3 - number(level)}.block.${layer}.`,
  ],
  [/^decoder\.up_blocks\.(\d)\.upsamplers\.0\./, (_, level) => `decoder.up.${3 - number(level)}.upsample.`],
  [/\.mid_block\.resnets\.0\./, '.mid.block_1.'],
  [/\.mid_block\.resnets\.1\./, '.mid.block_2.'],
  [/\.mid_block\.attentions\.0\./, '.mid.attn_1.'],
];

const VAE_PARTS: readonly Rename[] = [
  [/\.conv_shortcut\./, '.nin_shortcut.'],
  [/\.group_norm\./, '.norm.'],
  [/\.to_([qkv])\./, '.$1.'],
  [/\.to_out\.0\./, '.proj_out.'],
];

const OLD_VAE_PARTS: readonly Rename[] = [
  [/\.to_q\./, '.query.'],
  [/\.to_k\./, '.key.'],
  [/\.to_v\./, '.value.'],
  [/\.to_out\.0\./, '.proj_attn.'],
];

const MOTION_PLACES: readonly Rename[] = [[/\.temporal_transformer\./, '.']];

const MOTION_PARTS: readonly Rename[] = [
  [/\.attention_blocks\.\d\.pos_encoder\.pe$/, '.pos_embed.pe'],
  [/\.attention_blocks\.0\./, '.attn1.'],
  [/\.attention_blocks\.1\./, '.attn2.'],
  [/\.norms\.0\./, '.norm1.'],
  [/\.norms\.1\./, '.norm2.'],
  [/\.ff_norm\./, '.norm3.'],
];

/** Name in an LDM checkpoint of a UNet parameter. */
export function ldmUNetName(name: string): string {
  return `model.diffusion_model.${rename(name, UNET_PLACES, UNET_RESNET_PARTS)}`;
}

/** Name in an LDM checkpoint of a VAE parameter. */
export function ldmVaeName(name: string): string {
  return `first_stage_model.${rename(name, VAE_PLACES, VAE_PARTS)}`;
}

/** Name in an LDM checkpoint of a text encoder parameter. */
export function ldmTextName(name: string): string {
  return `cond_stage_model.transformer.${name}`;
}

/** Name of a VAE parameter in diffusers files from before its attention classes were unified. */
export function oldVaeName(name: string): string {
  return rename(name, OLD_VAE_PARTS);
}

/** Name of a motion module parameter in a diffusers MotionAdapter; both position tables have one name. */
export function diffusersMotionName(name: string): string {
  return rename(name, MOTION_PLACES, MOTION_PARTS);
}

/** Whether a VAE parameter is an attention weight, which LDM stores as a 1×1 convolution. */
export function isVaeAttentionWeight(name: string): boolean {
  return /\.attentions\.0\.to_\w+(\.0)?\.weight$/.test(name);
}
