/**
 * Names of motion modules → the names of guoyww/AnimateDiff. Three layouts are in use: the original one, that
 * of diffusers' MotionAdapter (also UNetMotionModel and HelloMeme), and that of HotshotXL, which has the same
 * blocks under other names.
 */

export type MotionLayout = 'original' | 'diffusers' | 'hotshot';

export interface MotionKeys {
  readonly layout: MotionLayout;
  /** More than one where a tensor is shared: diffusers has one position table for both attentions. */
  readonly names: readonly string[];
}

/** `down_blocks.0.motion_modules.1.` or `mid_block.motion_modules.0.`, then the rest. */
const SLOT =
  /^((?:down_blocks|up_blocks)\.\d+|mid_block)\.(?:motion_modules\.(\d+)\.(temporal_transformer\.)?|temporal_attentions\.(\d+)\.)(.+)$/;

const BLOCK = /^(transformer_blocks\.\d+\.)(\w+)\.(.+)$/;

/** Layers of a diffusers transformer block. */
const DIFFUSERS_LAYERS: Readonly<Record<string, string>> = {
  norm1: 'norms.0',
  norm2: 'norms.1',
  norm3: 'ff_norm',
  attn1: 'attention_blocks.0',
  attn2: 'attention_blocks.1',
  ff: 'ff',
};

/** The original names, or `undefined` for a name that is none of a motion module. */
export function motionKeys(name: string): MotionKeys | undefined {
  const match = SLOT.exec(name);
  if (match === null) return undefined;
  const [, block, slot, transformer, hotshotSlot, rest = ''] = match;
  const prefix = `${block}.motion_modules.${slot ?? hotshotSlot}.temporal_transformer.`;
  if (hotshotSlot !== undefined) {
    return {
      layout: 'hotshot',
      names: [prefix + rest.replace(/pos_encoder\.positional_encoding$/, 'pos_encoder.pe')],
    };
  }
  if (transformer !== undefined && !isDiffusersBlock(rest))
    return { layout: 'original', names: [prefix + rest] };
  return { layout: 'diffusers', names: diffusersRest(rest).map((renamed) => prefix + renamed) };
}

function isDiffusersBlock(rest: string): boolean {
  const layer = BLOCK.exec(rest)?.[2];
  return (
    layer === 'pos_embed' || (layer !== undefined && layer !== 'ff' && Object.hasOwn(DIFFUSERS_LAYERS, layer))
  );
}

function diffusersRest(rest: string): readonly string[] {
  const match = BLOCK.exec(rest);
  if (match === null) return [rest];
  const [, block, layer = '', tail] = match;
  if (layer === 'pos_embed')
    return [0, 1].map((index) => `${block}attention_blocks.${index}.pos_encoder.${tail}`);
  return [`${block}${DIFFUSERS_LAYERS[layer] ?? layer}.${tail}`];
}

const ORIGINAL_BLOCK = /\.transformer_blocks\.(\d+)\.(attention_blocks\.[01]|norms\.[01]|ff_norm)\.(.+)$/;

/** The name in diffusers' MotionAdapter of an original name; both position tables of a block have one name. */
export function diffusersMotionName(name: string): string {
  const bare = name.replace('.temporal_transformer.', '.');
  return bare.replace(ORIGINAL_BLOCK, (_, index: string, layer: string, rest: string) => {
    const block = `.transformer_blocks.${index}`;
    return rest === 'pos_encoder.pe' ? `${block}.pos_embed.pe` : `${block}.${ORIGINAL_LAYERS[layer]}.${rest}`;
  });
}

const ORIGINAL_LAYERS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(DIFFUSERS_LAYERS).map(([diffusers, original]) => [original, diffusers]),
);
