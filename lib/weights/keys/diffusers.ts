/** Names that already are those of diffusers; older VAE files name the attention's layers differently. */

const UNET =
  /^(conv_in|conv_out|conv_norm_out|time_embedding\.linear_[12]|(?:down_blocks|up_blocks)\.\d+\.(?:resnets|attentions|downsamplers|upsamplers)\.\d+|mid_block\.(?:resnets|attentions)\.\d+)\./;

const VAE =
  /^((?:post_)?quant_conv|(?:en|de)coder\.(?:conv_in|conv_out|conv_norm_out|(?:down_blocks|up_blocks)\.\d+\.\w+\.\d+|mid_block\.\w+\.\d+))\./;

const OLD_ATTENTION: Readonly<Record<string, string>> = {
  query: 'to_q',
  key: 'to_k',
  value: 'to_v',
  proj_attn: 'to_out.0',
};

/** The name itself, or `undefined` for a name that is none of a UNet. */
export function diffusersUnetKey(name: string): string | undefined {
  return UNET.test(name) ? name : undefined;
}

/** The name with today's attention names, or `undefined` for a name that is none of a VAE. */
export function diffusersVaeKey(name: string): string | undefined {
  if (!VAE.test(name)) return undefined;
  return name.replace(
    /^(.+\.attentions\.\d+\.)(query|key|value|proj_attn)\./,
    (_, block: string, layer: string) => `${block}${OLD_ATTENTION[layer]}.`,
  );
}
