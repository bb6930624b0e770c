/** What a weight file can be, how each kind is recognised by the names of its tensors, and what it is for. */
import type { TensorFile } from './types.ts';

export type FileKind =
  | 'sd-checkpoint'
  | 'diffusers-folder'
  | 'diffusers-unet'
  | 'diffusers-vae'
  | 'vae'
  | 'clip-text'
  | 'motion-module'
  | 'motion-adapter'
  | 'lora'
  | 'motion-lora'
  | 'domain-adapter-lora'
  | 'textual-inversion'
  | 'controlnet'
  | 'sparsectrl'
  | 'ip-adapter'
  | 'torchscript'
  | 'unknown';

/** The options that take a weight file. */
export type Use = 'base' | 'checkpoint' | 'vae' | 'motionModule' | 'loras' | 'embeddings';

/** For which options a kind is meant. Whether a file of it is complete and supported is another question. */
export const KIND_USES: Readonly<Record<FileKind, readonly Use[]>> = {
  'sd-checkpoint': ['base', 'checkpoint'],
  'diffusers-folder': ['base', 'checkpoint'],
  'diffusers-unet': ['base', 'checkpoint'],
  'diffusers-vae': ['vae'],
  vae: ['vae'],
  'clip-text': [],
  'motion-module': ['motionModule'],
  'motion-adapter': ['motionModule'],
  lora: ['loras'],
  'motion-lora': ['loras'],
  'domain-adapter-lora': ['loras'],
  'textual-inversion': ['embeddings'],
  controlnet: [],
  sparsectrl: [],
  'ip-adapter': [],
  torchscript: ['base'],
  unknown: [],
};

interface Marker {
  readonly kind: FileKind;
  /** Layout or architecture that the marker tells. */
  readonly variant?: string;
  /** Each pattern must match the name of some tensor. */
  readonly patterns: readonly RegExp[];
}

const LORA = '(_lora\\.|\\.lora[._]|^lora_|\\.hada_|\\.lokr_)';

/** Add-ons and foreign architectures; the first that fits. They are looked for before networks are. */
const MARKERS: readonly Marker[] = [
  {
    kind: 'motion-lora',
    variant: 'original',
    patterns: [/temporal_transformer\..*\.processor\.to_\w+_lora\.(down|up)\.weight$/],
  },
  { kind: 'motion-lora', variant: 'kohya', patterns: [/^lora_unet_.*(motion_modules|temporal)/] },
  { kind: 'motion-lora', variant: 'diffusers', patterns: [new RegExp(`motion_modules\\..*${LORA}`)] },
  { kind: 'lora', variant: 'loha', patterns: [/\.hada_w\d_/] },
  { kind: 'lora', variant: 'lokr', patterns: [/\.lokr_w\d/] },
  {
    kind: 'lora',
    variant: 'kohya',
    patterns: [/^(lora|lycoris)_(unet|te\d?|prior|transformer|text_encoder)_/],
  },
  {
    kind: 'domain-adapter-lora',
    variant: 'original',
    patterns: [
      /^(module\.)?(down_blocks|up_blocks|mid_block)\..*\.processor\.to_\w+_lora\.(down|up)\.weight$/,
    ],
  },
  {
    kind: 'lora',
    variant: 'diffusers',
    patterns: [/(\.lora_([AB]|down|up)\.|[._]lora\.(down|up)\.|\.lora_linear_layer\.)/],
  },
  { kind: 'sparsectrl', patterns: [/controlnet_(cond_embedding|down_blocks)/, /motion_modules\./] },
  {
    kind: 'controlnet',
    patterns: [/^(control_model\.|controlnet_(down|mid|cond)|zero_convs\.|input_hint_block\.)/],
  },
  { kind: 'ip-adapter', patterns: [/^(image_proj|ip_adapter)\./] },
  { kind: 'textual-inversion', patterns: [/^(string_to_param\.|emb_params$|clip_[lg]$)/] },
  { kind: 'unknown', variant: 'flux', patterns: [/double_blocks\.\d+\./] },
  { kind: 'unknown', variant: 'sd3', patterns: [/joint_blocks\.\d+\./] },
];

/** Widths of the token embeddings of CLIP text models: SD 1.x, SD 2.x, SDXL's second. */
const EMBEDDING_WIDTHS = [768, 1024, 1280];

/** The kind that the names of the tensors give away, when the file is an add-on or a foreign architecture. */
export function markedKind(file: TensorFile): { kind: FileKind; variant?: string } | undefined {
  const names = [...file.tensors.keys()];
  const marker = MARKERS.find(({ patterns }) =>
    patterns.every((pattern) => names.some((name) => pattern.test(name))),
  );
  if (marker !== undefined) return { kind: marker.kind, variant: marker.variant };
  return isTokenEmbedding(file) ? { kind: 'textual-inversion' } : undefined;
}

/** One to three vectors of a text model's width under free names, as diffusers saves them. */
function isTokenEmbedding({ tensors }: TensorFile): boolean {
  const shapes = Array.from(tensors.values(), ({ shape }) => shape);
  if (shapes.length === 0 || shapes.length > 3) return false;
  if ([...tensors.keys()].some((name) => name.includes('.'))) return false;
  return shapes.every((shape) => shape.length <= 2 && EMBEDDING_WIDTHS.includes(shape.at(-1) ?? 0));
}
