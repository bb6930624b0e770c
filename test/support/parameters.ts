/**
 * Names and shapes of all trained parameters, derived from the widths of a family: diffusers names for UNet
 * and VAE, `text_model.…` for the text encoder, original AnimateDiff names for motion modules. The lists of
 * `tiny` are compared with diffusers' and transformers' own through hashes in `seeded-weights.json`.
 */
import { AnimateDiffError } from '../../lib/errors.ts';
import type { MotionConfig, TextEncoderConfig, UNetConfig, VaeConfig } from './family.ts';

/** A canonical name and its shape. */
export type Parameter = readonly [name: string, shape: readonly number[]];

type Parameters = Generator<Parameter>;

function* norm(name: string, channels: number): Parameters {
  yield [`${name}.weight`, [channels]];
  yield [`${name}.bias`, [channels]];
}

function* linear(name: string, inputs: number, outputs: number): Parameters {
  yield [`${name}.weight`, [outputs, inputs]];
  yield [`${name}.bias`, [outputs]];
}

function* conv(name: string, inputs: number, outputs: number, kernel: 1 | 3): Parameters {
  yield [`${name}.weight`, [outputs, inputs, kernel, kernel]];
  yield [`${name}.bias`, [outputs]];
}

function* attention(name: string, channels: number, context: number): Parameters {
  yield [`${name}.to_q.weight`, [channels, channels]];
  yield [`${name}.to_k.weight`, [channels, context]];
  yield [`${name}.to_v.weight`, [channels, context]];
  yield* linear(`${name}.to_out.0`, channels, channels);
}

/** GEGLU: the first layer has twice the inner width of 4 × channels. */
function* feedForward(name: string, channels: number): Parameters {
  yield* linear(`${name}.net.0.proj`, channels, 8 * channels);
  yield* linear(`${name}.net.2`, 4 * channels, channels);
}

function* resnet(name: string, inputs: number, outputs: number, timeChannels?: number): Parameters {
  yield* norm(`${name}.norm1`, inputs);
  yield* conv(`${name}.conv1`, inputs, outputs, 3);
  if (timeChannels !== undefined) yield* linear(`${name}.time_emb_proj`, timeChannels, outputs);
  yield* norm(`${name}.norm2`, outputs);
  yield* conv(`${name}.conv2`, outputs, outputs, 3);
  if (inputs !== outputs) yield* conv(`${name}.conv_shortcut`, inputs, outputs, 1);
}

function* spatialTransformer(name: string, channels: number, context: number): Parameters {
  const block = `${name}.transformer_blocks.0`;
  yield* norm(`${name}.norm`, channels);
  yield* conv(`${name}.proj_in`, channels, channels, 1);
  yield* norm(`${block}.norm1`, channels);
  yield* attention(`${block}.attn1`, channels, channels);
  yield* norm(`${block}.norm2`, channels);
  yield* attention(`${block}.attn2`, channels, context);
  yield* norm(`${block}.norm3`, channels);
  yield* feedForward(`${block}.ff`, channels);
  yield* conv(`${name}.proj_out`, channels, channels, 1);
}

function* motionModule(slot: string, channels: number): Parameters {
  const name = `${slot}.temporal_transformer`;
  const block = `${name}.transformer_blocks.0`;
  yield* norm(`${name}.norm`, channels);
  yield* linear(`${name}.proj_in`, channels, channels);
  for (const index of [0, 1]) {
    yield* attention(`${block}.attention_blocks.${index}`, channels, channels);
    yield* norm(`${block}.norms.${index}`, channels);
  }
  yield* feedForward(`${block}.ff`, channels);
  yield* norm(`${block}.ff_norm`, channels);
  yield* linear(`${name}.proj_out`, channels, channels);
}

function at(widths: readonly number[], index: number): number {
  const width = widths[index];
  if (width === undefined) {
    throw new AnimateDiffError('ERR_CONFIG', `Expected a width at index ${index} of [${widths.join(', ')}].`);
  }
  return width;
}

function* unet(config: UNetConfig): Parameters {
  const widths = config.block_out_channels;
  const first = at(widths, 0);
  const deepest = at(widths, widths.length - 1);
  const time = 4 * first;
  const context = config.cross_attention_dim;
  const skips = [first];
  yield* conv('conv_in', config.in_channels, first, 3);
  yield* linear('time_embedding.linear_1', first, time);
  yield* linear('time_embedding.linear_2', time, time);
  let channels = first;
  for (const [level, type] of config.down_block_types.entries()) {
    const block = `down_blocks.${level}`;
    for (let layer = 0; layer < config.layers_per_block; layer += 1) {
      yield* resnet(`${block}.resnets.${layer}`, channels, at(widths, level), time);
      channels = at(widths, level);
      if (type.startsWith('CrossAttn'))
        yield* spatialTransformer(`${block}.attentions.${layer}`, channels, context);
      skips.push(channels);
    }
    if (level === widths.length - 1) continue;
    yield* conv(`${block}.downsamplers.0.conv`, channels, channels, 3);
    skips.push(channels);
  }
  yield* resnet('mid_block.resnets.0', deepest, deepest, time);
  yield* spatialTransformer('mid_block.attentions.0', deepest, context);
  yield* resnet('mid_block.resnets.1', deepest, deepest, time);
  for (const [level, type] of config.up_block_types.entries()) {
    const block = `up_blocks.${level}`;
    const width = at(widths, widths.length - 1 - level);
    for (let layer = 0; layer <= config.layers_per_block; layer += 1) {
      yield* resnet(`${block}.resnets.${layer}`, channels + (skips.pop() ?? 0), width, time);
      channels = width;
      if (type.startsWith('CrossAttn'))
        yield* spatialTransformer(`${block}.attentions.${layer}`, channels, context);
    }
    if (level < widths.length - 1) yield* conv(`${block}.upsamplers.0.conv`, channels, channels, 3);
  }
  yield* norm('conv_norm_out', first);
  yield* conv('conv_out', first, config.out_channels, 3);
}

function* motion(config: MotionConfig): Parameters {
  const widths = config.block_out_channels;
  const layers = config.motion_layers_per_block;
  for (const [level, channels] of widths.entries()) {
    for (let layer = 0; layer < layers; layer += 1) {
      yield* motionModule(`down_blocks.${level}.motion_modules.${layer}`, channels);
    }
  }
  if (config.use_motion_mid_block) {
    yield* motionModule('mid_block.motion_modules.0', at(widths, widths.length - 1));
  }
  for (const [level, channels] of widths.toReversed().entries()) {
    for (let layer = 0; layer <= layers; layer += 1) {
      yield* motionModule(`up_blocks.${level}.motion_modules.${layer}`, channels);
    }
  }
}

/** Middle of encoder and decoder: its attention has biases on all four projections. */
function* vaeMiddle(name: string, channels: number): Parameters {
  yield* resnet(`${name}.resnets.0`, channels, channels);
  yield* norm(`${name}.attentions.0.group_norm`, channels);
  for (const part of ['to_q', 'to_k', 'to_v', 'to_out.0']) {
    yield* linear(`${name}.attentions.0.${part}`, channels, channels);
  }
  yield* resnet(`${name}.resnets.1`, channels, channels);
}

function* vae(config: VaeConfig): Parameters {
  const widths = config.block_out_channels;
  const deepest = at(widths, widths.length - 1);
  const latents = config.latent_channels;
  let channels = at(widths, 0);
  yield* conv('encoder.conv_in', config.in_channels, channels, 3);
  for (const [level, width] of widths.entries()) {
    for (let layer = 0; layer < config.layers_per_block; layer += 1) {
      yield* resnet(`encoder.down_blocks.${level}.resnets.${layer}`, channels, width);
      channels = width;
    }
    if (level < widths.length - 1)
      yield* conv(`encoder.down_blocks.${level}.downsamplers.0.conv`, width, width, 3);
  }
  yield* vaeMiddle('encoder.mid_block', deepest);
  yield* norm('encoder.conv_norm_out', deepest);
  yield* conv('encoder.conv_out', deepest, 2 * latents, 3);
  yield* conv('quant_conv', 2 * latents, 2 * latents, 1);
  yield* conv('post_quant_conv', latents, latents, 1);
  yield* conv('decoder.conv_in', latents, deepest, 3);
  yield* vaeMiddle('decoder.mid_block', deepest);
  for (const [level, width] of widths.toReversed().entries()) {
    for (let layer = 0; layer <= config.layers_per_block; layer += 1) {
      yield* resnet(`decoder.up_blocks.${level}.resnets.${layer}`, channels, width);
      channels = width;
    }
    if (level < widths.length - 1)
      yield* conv(`decoder.up_blocks.${level}.upsamplers.0.conv`, width, width, 3);
  }
  yield* norm('decoder.conv_norm_out', channels);
  yield* conv('decoder.conv_out', channels, config.out_channels, 3);
}

function* textEncoder(config: TextEncoderConfig): Parameters {
  const width = config.hidden_size;
  yield ['text_model.embeddings.token_embedding.weight', [config.vocab_size, width]];
  yield ['text_model.embeddings.position_embedding.weight', [config.max_position_embeddings, width]];
  for (let index = 0; index < config.num_hidden_layers; index += 1) {
    const layer = `text_model.encoder.layers.${index}`;
    yield* norm(`${layer}.layer_norm1`, width);
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) {
      yield* linear(`${layer}.self_attn.${part}`, width, width);
    }
    yield* norm(`${layer}.layer_norm2`, width);
    yield* linear(`${layer}.mlp.fc1`, width, config.intermediate_size);
    yield* linear(`${layer}.mlp.fc2`, config.intermediate_size, width);
  }
  yield* norm('text_model.final_layer_norm', width);
}

/** Parameters of the UNet without motion modules, diffusers names. */
export const unetParameters = (config: UNetConfig): readonly Parameter[] => [...unet(config)];

/** Trained parameters of the motion modules, original names; the position tables are not among them. */
export const motionParameters = (config: MotionConfig): readonly Parameter[] => [...motion(config)];

/** Parameters of encoder and decoder, diffusers names. */
export const vaeParameters = (config: VaeConfig): readonly Parameter[] => [...vae(config)];

/** Parameters of the CLIP text model, names as in checkpoints. */
export const textEncoderParameters = (config: TextEncoderConfig): readonly Parameter[] => [
  ...textEncoder(config),
];
