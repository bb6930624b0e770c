/**
 * UNet names of the LDM layout (CompVis latent-diffusion, `model.diffusion_model.*` without that prefix)
 * → diffusers names. Blocks are numbered through in LDM: with two ResNets per level, input block
 * 1 + 3·level + layer, output block 3·level + layer.
 */

const RESNET_PARTS: Readonly<Record<string, string>> = {
  'in_layers.0': 'norm1',
  'in_layers.2': 'conv1',
  'emb_layers.1': 'time_emb_proj',
  'out_layers.0': 'norm2',
  'out_layers.3': 'conv2',
  skip_connection: 'conv_shortcut',
};

const SINGLE_LAYERS: Readonly<Record<string, string>> = {
  'time_embed.0': 'time_embedding.linear_1',
  'time_embed.2': 'time_embedding.linear_2',
  'input_blocks.0.0': 'conv_in',
  'out.0': 'conv_norm_out',
  'out.2': 'conv_out',
};

const MIDDLE_BLOCKS: Readonly<Record<string, string>> = {
  '0': 'mid_block.resnets.0',
  '1': 'mid_block.attentions.0',
  '2': 'mid_block.resnets.1',
};

/** Level and layer of a block number. */
const split = (block: number): [level: number, layer: number] => [Math.floor(block / 3), block % 3];

type Rule = readonly [RegExp, (match: readonly string[]) => string | undefined];

const RULES: readonly Rule[] = [
  [
    /^(time_embed\.[02]|input_blocks\.0\.0|out\.[02])\.(weight|bias)$/,
    ([, layer = '', kind]) => `${SINGLE_LAYERS[layer]}.${kind}`,
  ],
  [/^input_blocks\.(\d+)\.0\.op\.(weight|bias)$/, ([, block, kind]) => downsampler(Number(block), kind)],
  [/^input_blocks\.(\d+)\.([01])\.(.+)$/, ([, block, part, rest]) => downBlock(Number(block), part, rest)],
  [
    /^middle_block\.([012])\.(.+)$/,
    ([, part = '', rest]) => join(MIDDLE_BLOCKS[part], part === '1' ? rest : resnetPart(rest)),
  ],
  [/^output_blocks\.(\d+)\.[12]\.conv\.(weight|bias)$/, ([, block, kind]) => upsampler(Number(block), kind)],
  [/^output_blocks\.(\d+)\.([01])\.(.+)$/, ([, block, part, rest]) => upBlock(Number(block), part, rest)],
];

/** The diffusers name, or `undefined` for a name that is not of the LDM layout. */
export function ldmUnetKey(name: string): string | undefined {
  for (const [pattern, rename] of RULES) {
    const match = pattern.exec(name);
    if (match !== null) return rename(match);
  }
  return undefined;
}

/** Input blocks 3, 6, 9: the last of a level. */
function downsampler(block: number, kind: string | undefined): string | undefined {
  return block > 0 && block % 3 === 0
    ? `down_blocks.${block / 3 - 1}.downsamplers.0.conv.${kind}`
    : undefined;
}

/** Output blocks 2, 5, 8: the last of a level. */
function upsampler(block: number, kind: string | undefined): string | undefined {
  return block % 3 === 2 ? `up_blocks.${(block - 2) / 3}.upsamplers.0.conv.${kind}` : undefined;
}

function downBlock(block: number, part: string | undefined, rest: string | undefined): string | undefined {
  if (block % 3 === 0) return undefined;
  const [level, layer] = split(block - 1);
  return inBlock(`down_blocks.${level}`, layer, part, rest);
}

function upBlock(block: number, part: string | undefined, rest: string | undefined): string | undefined {
  const [level, layer] = split(block);
  return inBlock(`up_blocks.${level}`, layer, part, rest);
}

function inBlock(
  block: string,
  layer: number,
  part: string | undefined,
  rest: string | undefined,
): string | undefined {
  if (part === '1') return `${block}.attentions.${layer}.${rest}`;
  return join(`${block}.resnets.${layer}`, resnetPart(rest));
}

/** `in_layers.0.weight` → `norm1.weight` */
function resnetPart(rest: string | undefined): string | undefined {
  const match = /^(\w+(?:\.\d)?)\.(weight|bias)$/.exec(rest ?? '');
  return match === null ? undefined : join(RESNET_PARTS[match[1] ?? ''], match[2]);
}

function join(prefix: string | undefined, rest: string | undefined): string | undefined {
  return prefix === undefined || rest === undefined ? undefined : `${prefix}.${rest}`;
}

type Naming = readonly [RegExp, (match: readonly string[]) => string | undefined];

const invert = (table: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(table).map(([left, right]) => [right, left]));

const LDM_PARTS = invert(RESNET_PARTS);
const LDM_SINGLE_LAYERS = invert(SINGLE_LAYERS);

/** In front of what follows the block's own name: `norm1` becomes `in_layers.0` in a ResNet only. */
const inLdmBlock = (block: string, kind: string | undefined, rest: string | undefined) =>
  join(block, kind === 'resnets' ? LDM_PARTS[rest ?? ''] : rest);

const LAYER_NAMINGS: readonly Naming[] = [
  [
    /^down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)$/,
    ([, level, kind, layer, rest]) =>
      inLdmBlock(
        `input_blocks.${3 * Number(level) + Number(layer) + 1}.${kind === 'resnets' ? 0 : 1}`,
        kind,
        rest,
      ),
  ],
  [
    /^down_blocks\.(\d+)\.downsamplers\.0\.conv$/,
    ([, level]) => `input_blocks.${3 * Number(level) + 3}.0.op`,
  ],
  [
    /^mid_block\.(resnets|attentions)\.(\d+)\.(.+)$/,
    ([, kind, layer, rest]) =>
      inLdmBlock(`middle_block.${kind === 'resnets' ? 2 * Number(layer) : 1}`, kind, rest),
  ],
  [
    /^up_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)$/,
    ([, level, kind, layer, rest]) =>
      inLdmBlock(
        `output_blocks.${3 * Number(level) + Number(layer)}.${kind === 'resnets' ? 0 : 1}`,
        kind,
        rest,
      ),
  ],
  // The upsampler follows the attention, which the lowest level does not have.
  [
    /^up_blocks\.(\d+)\.upsamplers\.0\.conv$/,
    ([, level]) => `output_blocks.${3 * Number(level) + 2}.${level === '0' ? 1 : 2}.conv`,
  ],
];

/**
 * The LDM name of a layer of Stable Diffusion 1.5's UNet, from its diffusers name; both without `.weight`.
 * `undefined` for layers that LDM does not have, such as motion modules.
 */
export function ldmUnetLayer(name: string): string | undefined {
  const single = LDM_SINGLE_LAYERS[name];
  if (single !== undefined) return single;
  for (const [pattern, rename] of LAYER_NAMINGS) {
    const match = pattern.exec(name);
    if (match !== null) return rename(match);
  }
  return undefined;
}
