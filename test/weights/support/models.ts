/** Model files of every kind in a temporary folder, with the real names and shapes and without data. */
import path from 'node:path';
import { type Shapes, writeBytes, writeHeaderOnly } from './files.ts';
import * as lists from './key-lists.ts';

/** Writes the components of a diffusers folder, each as one file. Returns the folder. */
export function writePipeline(folder: string, components: Readonly<Record<string, Shapes>>): string {
  writeBytes(
    path.join(folder, 'model_index.json'),
    JSON.stringify({ _class_name: 'StableDiffusionPipeline' }),
  );
  for (const [component, shapes] of Object.entries(components)) {
    const stem = component === 'text_encoder' ? 'model' : 'diffusion_pytorch_model';
    writeHeaderOnly(path.join(folder, component, `${stem}.safetensors`), shapes);
  }
  return folder;
}

/** Writes a folder of one component with its config. Returns the folder. */
export function writeComponent(folder: string, shapes: Shapes, config: object): string {
  writeBytes(path.join(folder, 'config.json'), JSON.stringify(config));
  writeHeaderOnly(path.join(folder, 'diffusion_pytorch_model.safetensors'), shapes);
  return folder;
}

/** The first convolution with other input channels. */
export const withInputChannels = (shapes: Shapes, channels: number): Shapes =>
  lists.replaced(shapes, (name, shape) =>
    /(^|\.)(conv_in|input_blocks\.0\.0)\.weight$/.test(name) && shape[1] === 4
      ? [320, channels, 3, 3]
      : shape,
  );

/** Cross-attention to text embeddings of another width. */
export const withContextWidth = (shapes: Shapes, width: number): Shapes =>
  lists.replaced(shapes, (name, shape) =>
    /\.attn2\.to_[kv]\.weight$/.test(name) ? [shape[0] ?? 0, width] : shape,
  );

const block = 'down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0';
const spatial = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1';
const pair = (down: string, up: string): Shapes =>
  new Map([
    [down, [4, 320]],
    [up, [320, 4]],
  ]);

/** Names of LoRAs as each trainer writes them. */
export const LORAS: Readonly<Record<string, Shapes>> = {
  kohya: pair(
    'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight',
    'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight',
  ),
  peft: pair(`unet.${spatial}.to_q.lora_A.weight`, `unet.${spatial}.to_q.lora_B.weight`),
  diffusers: pair(
    `unet.${spatial}.processor.to_q_lora.down.weight`,
    `unet.${spatial}.processor.to_q_lora.up.weight`,
  ),
  loha: new Map([['lora_unet_mid_block_attentions_0_proj_in.hada_w1_a', [4, 4]]]),
  lokr: new Map([['lycoris_unet_mid_block_attentions_0_proj_in.lokr_w1', [4, 4]]]),
};
export const DOMAIN_ADAPTER = pair(
  `${spatial}.processor.to_q_lora.down.weight`,
  `${spatial}.processor.to_q_lora.up.weight`,
);
export const MOTION_LORA = pair(
  `${block}.processor.to_q_lora.down.weight`,
  `${block}.processor.to_q_lora.up.weight`,
);
export const MOTION_LORA_DIFFUSERS = pair(
  'unet.down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight',
  'unet.down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight',
);

/** The encoder half of the UNet with motion modules and an input for conditions. */
export const SPARSECTRL: Shapes = new Map([
  ...[...lists.UNET_WITH_MOTION].filter(([name]) => name.startsWith('down_blocks.')),
  ['controlnet_cond_embedding.weight', [320, 5, 3, 3]],
  ['controlnet_down_blocks.0.weight', [320, 320, 1, 1]],
]);

const renameMotion = (shapes: Shapes, to: (name: string) => string): Shapes =>
  new Map(Array.from(shapes, ([name, shape]) => [to(name), shape]));

/** SDXL has three levels, with up blocks of 1280, 640 and 320 channels; HotshotXL the same blocks under other names. */
const withThreeLevels = (shapes: Shapes): Shapes =>
  new Map([...shapes].filter(([name]) => !/^(down_blocks\.3|up_blocks\.3)\./.test(name)));
const withWidthsOfSdxl = (shapes: Shapes): Shapes =>
  lists.replaced(withThreeLevels(shapes), (name, shape) => {
    if (name.startsWith('up_blocks.1.')) return shape.map((size) => (size >= 640 ? size / 2 : size));
    return name.startsWith('up_blocks.2.') ? shape.map((size) => (size >= 320 ? size / 2 : size)) : shape;
  });
export const MOTION_SDXL = withWidthsOfSdxl(lists.MOTION_V3);
export const MOTION_ADAPTER_SDXL = withWidthsOfSdxl(lists.MOTION_ADAPTER_V3);
export const MOTION_HOTSHOT = renameMotion(lists.withPositions(MOTION_SDXL, 24), (name) =>
  name
    .replace(/motion_modules\.(\d)\.temporal_transformer/, 'temporal_attentions.$1')
    .replace('pos_encoder.pe', 'pos_encoder.positional_encoding'),
);
export const PIA = new Map([
  ...lists.MOTION_V3,
  ['conv_in.weight', [320, 9, 3, 3]],
  ['conv_in.bias', [320]],
] as [string, readonly number[]][]);
