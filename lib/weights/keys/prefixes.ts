/**
 * What trainers and tools put in front of a parameter's name: wrappers that mean nothing, and prefixes that
 * say which network it belongs to.
 */

export type Component = 'unet' | 'vae' | 'text_encoder';

/** A name without its prefix. Without a component, the rest of the name has to tell it. */
export interface PrefixedName {
  readonly component?: Component;
  readonly rest: string;
}

/** DistributedDataParallel, torch.compile. */
const WRAPPERS = /^(?:(?:module|_orig_mod)\.)+/;

/** Longer prefixes first. A name under `motion_adapter` is recognised by itself. */
const PREFIXES: readonly (readonly [prefix: string, component?: Component])[] = [
  ['model.diffusion_model.', 'unet'],
  ['diffusion_model.', 'unet'],
  ['first_stage_model.', 'vae'],
  ['cond_stage_model.transformer.', 'text_encoder'],
  ['text_encoder.', 'text_encoder'],
  ['motion_adapter.'],
  ['motion_module.'],
  ['vae.', 'vae'],
  ['unet.', 'unet'],
];

/** Splits a parameter's name into the network it names and the rest. */
export function splitPrefix(name: string): PrefixedName {
  const bare = name.replace(WRAPPERS, '');
  const found = PREFIXES.find(([prefix]) => bare.startsWith(prefix));
  if (found === undefined) return { rest: bare };
  const [prefix, component] = found;
  return { component, rest: bare.slice(prefix.length).replace(WRAPPERS, '') };
}

/** Copies of the UNet's weights averaged over the training; the plain ones are used. */
export function isEmaCopy(name: string): boolean {
  return name.startsWith('model_ema.');
}

/** What comes with a network and is no parameter of it: noise schedules, losses, index buffers. */
const BYPRODUCTS: readonly RegExp[] = [
  /(^|\.)position_ids$/,
  /^(betas|alphas_cumprod(_prev)?|sqrt_\w+|log_one_minus_\w+|posterior_\w+|lvlb_weights|logvar|scale_factor)$/,
  /^first_stage_model\.loss\.|^loss\./,
  /^cond_stage_model\.(logit_scale|transformer\.(text_projection|logit_scale|vision_model|visual_projection))/,
  /^(text_encoder\.)?(logit_scale|text_projection|visual_projection|vision_model)(\.|$)/,
  /^(denoiser\.sigmas|v_pred|ztsnr)$/,
  /^(animatediff_config|epoch|global_step)(\.|$)/,
];

/** True for a tensor that no network needs and that is no surprise. */
export function isByproduct(name: string): boolean {
  const bare = name.replace(WRAPPERS, '');
  return BYPRODUCTS.some((pattern) => pattern.test(bare));
}
