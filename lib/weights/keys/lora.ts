/**
 * Names of the tensors of LoRAs and their kin → the layer that each is for, and its part in it. In use are the
 * layouts of kohya-ss/sd-scripts and LyCORIS (`lora_unet_…` with `_` between all words), of diffusers and PEFT
 * (the module's own path), and of AnimateDiff and early diffusers (`…processor.to_q_lora.down.weight`).
 */

/** What a tensor is in its layer; the names of LoHa's and LoKr's factors are LyCORIS' own. */
export type LoraPart =
  | 'up'
  | 'down'
  | 'mid'
  | 'alpha'
  /** DoRA's magnitudes: of LyCORIS, along the axis that its shape tells; of PEFT, one for each row. */
  | 'dora_scale'
  | 'magnitude'
  | `hada_${'w1_a' | 'w1_b' | 'w2_a' | 'w2_b' | 't1' | 't2'}`
  | `lokr_${'w1' | 'w1_a' | 'w1_b' | 'w2' | 'w2_a' | 'w2_b' | 't2'}`
  | 'diff'
  | 'diff_b';

/** A tensor's name, understood. */
export interface LoraName {
  /** Network that a prefix names. */
  readonly role?: 'unet' | 'text_encoder';
  /** Path of the layer with `_` for every `.`, without prefixes. */
  readonly layer: string;
  readonly part: LoraPart;
}

/** Parts that are not named by what their pattern captures. */
const RENAMED_PARTS: Readonly<Record<string, LoraPart>> = {
  A: 'down',
  B: 'up',
  lora_magnitude_vector: 'magnitude',
  w_norm: 'diff',
  b_norm: 'diff_b',
};

/** Layer and part. PEFT puts the adapter's name (`default`) behind its own. */
const ENDINGS: readonly RegExp[] = [
  /^(.+)\.lora_(down|up|mid)\.weight$/,
  /^(.+)\.lora_([AB])(?:\.[\w-]+)?\.weight$/,
  /^(.+)[._]lora\.(down|up)\.weight$/,
  /^(.+)\.lora_linear_layer\.(down|up)\.weight$/,
  /^(.+?)(?:[._]lora|\.lora_linear_layer)?\.(alpha)$/,
  /^(.+)\.(dora_scale)$/,
  /^(.+)\.(lora_magnitude_vector)(?:\.[\w-]+)*$/,
  /^(.+)\.(hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2))$/,
  /^(.+)\.(diff|diff_b|w_norm|b_norm)$/,
];

const PREFIXES: readonly (readonly [pattern: RegExp, role: LoraName['role']])[] = [
  [/^(?:lora|lycoris)_te1?_/, 'text_encoder'],
  [/^(?:lora_unet|lycoris_unet|lycoris)_/, 'unet'],
  [/^(?:unet|(?:model\.)?diffusion_model|motion_adapter)\./, 'unet'],
  [
    /^(?:text_encoder|cond_stage_model\.transformer|(?:text_encoders\.)?clip_l\.transformer)\./,
    'text_encoder',
  ],
];

/** DistributedDataParallel, torch.compile, PEFT. */
const WRAPPERS = /^(?:(?:module|_orig_mod|base_model\.model)\.)+/;

/** Adapters of other kinds, by a tensor that only they have. */
const OTHER_FORMS: readonly (readonly [form: string, pattern: RegExp])[] = [
  ['OFT', /\.oft_/],
  ['BOFT', /\.boft_/],
  ['GLoRA', /\.[ab][12]\.weight$/],
  ['IA³', /\.(on_input|ia3_l(\.\w+)?)$/],
  ['VeRA', /\.vera_/],
];

/** Name of the kind of adapter that a tensor belongs to, when it is one that is not supported. */
export function otherForm(name: string): string | undefined {
  return OTHER_FORMS.find(([, pattern]) => pattern.test(name))?.[0];
}

/** What a tensor of an adapter is, or `undefined` for a name that is none of these layouts. */
export function loraName(name: string): LoraName | undefined {
  const bare = name.replace(WRAPPERS, '');
  const match = ENDINGS.map((ending) => ending.exec(bare)).find((found) => found !== null);
  if (match === undefined) return undefined;
  const [, path = '', ending = ''] = match;
  const [pattern, role] = PREFIXES.find(([prefix]) => prefix.test(path)) ?? [];
  const layer = (pattern === undefined ? path : path.replace(pattern, '')).replace(WRAPPERS, '');
  return {
    role,
    layer: layer.replace(/\.processor(?=\.|$)/, '').replaceAll('.', '_'),
    part: RENAMED_PARTS[ending] ?? (ending as LoraPart),
  };
}
