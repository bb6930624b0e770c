/**
 * Writes the seeded random model as files in the layouts that users have: single-file LDM checkpoints,
 * diffusers folders, motion modules in the original and in the diffusers layout. All layouts of one variant
 * hold the same weights, those that made the fixtures in `test/fixtures/reference/`. The default family is
 * `tiny` (21 MB as float32, written in well under a second); `sd15` writes files of the real sizes.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { invalidArgument } from '../../lib/errors.ts';
import {
  type Family,
  type FamilyName,
  type MotionGeneration,
  readFamily,
  type TextEncoderConfig,
} from './family.ts';
import {
  diffusersMotionName,
  isVaeAttentionWeight,
  ldmTextName,
  ldmUNetName,
  ldmVaeName,
  oldVaeName,
} from './layouts.ts';
import { motionParameters, textEncoderParameters, unetParameters, vaeParameters } from './parameters.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import {
  byteLength,
  type FloatDType,
  floatTensor,
  positionTable,
  seededTensors,
  type Tensor,
} from './tensor.ts';
import { type ArchiveOptions, writeTorchArchive } from './torch-archive-writer.ts';
import { writeJson } from './write-whole.ts';

/** What every file has in common. */
export interface ModelOptions {
  /** Default `tiny`. */
  readonly family?: FamilyName;
  /** 0, the default, is the base model; another integer is a personalised model with other weights. */
  readonly variant?: number;
  /** Default `F32`. */
  readonly dtype?: FloatDType;
}

/** A single-file Stable Diffusion checkpoint. */
export interface CheckpointOptions extends ModelOptions, ArchiveOptions {
  /** Default true. */
  readonly vae?: boolean;
  /** Default true. */
  readonly textEncoder?: boolean;
  /** With the averaged copies of the UNet that its training kept, of other values. Default false. */
  readonly ema?: boolean;
}

/** A diffusers folder. */
export interface FolderOptions extends ModelOptions {
  /** Default `safetensors`; `bin` is torch's archive. */
  readonly format?: 'safetensors' | 'bin';
  /** Adds `.fp16` to the names of the weight files, as published half-precision variants have it. */
  readonly fileVariant?: 'fp16';
  /** Number of files that the UNet is split into. Default 1: no index file. */
  readonly shards?: number;
  /** VAE attention as `query`, `key`, `value`, `proj_attn`. Default false. */
  readonly oldVaeNames?: boolean;
}

/** A motion module. `animatelcm` is a v2 module without position tables. */
export interface MotionModuleOptions extends ModelOptions, ArchiveOptions {
  readonly version: MotionGeneration | 'animatelcm';
  /** Put before every name, such as `module.` by distributed training. */
  readonly prefix?: string;
}

interface Settings {
  readonly family: Family;
  readonly variant: number;
  readonly dtype: FloatDType;
}

function settings({ family = 'tiny', variant = 0, dtype = 'F32' }: ModelOptions): Settings {
  return { family: readFamily(family), variant, dtype };
}

/** Writers by file name ending. */
const WRITERS: Readonly<
  Record<string, (file: string, tensors: readonly Tensor[], archive: ArchiveOptions) => void>
> = {
  '.safetensors': (file, tensors) => writeSafetensors(file, tensors),
  '.ckpt': writeTorchArchive,
  '.bin': writeTorchArchive,
};

function writeTensors(file: string, tensors: readonly Tensor[], archive: ArchiveOptions = {}): void {
  const write = WRITERS[path.extname(file)];
  if (write === undefined) {
    throw invalidArgument('file', `a name that ends in ${Object.keys(WRITERS).join(', ')}`, file);
  }
  write(file, tensors, archive);
}

/** Stable Diffusion's own noise schedule: `scaled_linear` betas from 0.00085 to 0.012. */
function ldmBetas(): Float32Array {
  const [first, last] = [Math.sqrt(0.00085), Math.sqrt(0.012)];
  return Float32Array.from({ length: 1000 }, (_, step) => (first + (step / 999) * (last - first)) ** 2);
}

function ldmAlphasCumprod(): Float32Array {
  let product = 1;
  return ldmBetas().map((beta) => {
    product *= 1 - beta;
    return product;
  });
}

/** Buffers that Stable Diffusion checkpoints carry beside the UNet and that nothing needs. */
function ldmSchedule(): Tensor[] {
  return [
    floatTensor('betas', [1000], 'F32', ldmBetas),
    floatTensor('alphas_cumprod', [1000], 'F32', ldmAlphasCumprod),
  ];
}

/** 0 … 76: a buffer of the text encoder that older files carry and that nothing needs. */
function ldmPositionIds({ max_position_embeddings: length }: TextEncoderConfig): Tensor {
  const name = ldmTextName('text_model.embeddings.position_ids');
  const ids = BigInt64Array.from({ length }, (_, index) => BigInt(index));
  return { name, dtype: 'I64', shape: [1, length], bytes: () => new Uint8Array(ids.buffer) };
}

function ldmVaeTensor(tensor: Tensor): Tensor {
  const shape = isVaeAttentionWeight(tensor.name) ? [...tensor.shape, 1, 1] : tensor.shape;
  return { ...tensor, name: ldmVaeName(tensor.name), shape };
}

function renamed(tensors: readonly Tensor[], name: (canonical: string) => string): Tensor[] {
  return tensors.map((tensor) => ({ ...tensor, name: name(tensor.name) }));
}

/** `model_ema.diffusion_modelinput_blocks00weight`: LitEma of CompVis leaves the dots out. */
function emaCopies({ family, variant, dtype }: Settings): Tensor[] {
  const copies = seededTensors(unetParameters(family.unet), { variant: variant + 100, dtype });
  const named = renamed(
    copies,
    (name) => `model_ema.${ldmUNetName(name).slice('model.'.length).replaceAll('.', '')}`,
  );
  return [...named, floatTensor('model_ema.decay', [], 'F32', () => Float32Array.of(0.9999))];
}

/**
 * Writes a Stable Diffusion checkpoint in the LDM layout to `file`, which ends in `.safetensors` or `.ckpt`.
 * A `.ckpt` has its tensors under `state_dict`, as published ones do, unless `wrapper` is another key or null.
 */
export function writeCheckpoint(file: string, options: CheckpointOptions = {}): void {
  const model = settings(options);
  const {
    vae = true,
    textEncoder = true,
    ema = false,
    wrapper = 'state_dict',
    scalars = { global_step: 470000 },
  } = options;
  const tensors = renamed(seededTensors(unetParameters(model.family.unet), model), ldmUNetName);
  if (vae) tensors.push(...seededTensors(vaeParameters(model.family.vae), model).map(ldmVaeTensor));
  if (textEncoder) {
    const text = seededTensors(textEncoderParameters(model.family.text_encoder), model);
    tensors.push(...renamed(text, ldmTextName), ldmPositionIds(model.family.text_encoder));
  }
  if (ema) tensors.push(...emaCopies(model));
  writeTensors(file, [...tensors, ...ldmSchedule()], { wrapper, scalars, optimizer: options.optimizer });
}

/** A VAE alone: in LDM layout with or without its prefix, or as diffusers names it. */
export interface VaeOptions extends ModelOptions, ArchiveOptions {
  /** Default `bare`: LDM names that begin with `encoder.` and `decoder.`. */
  readonly naming?: 'bare' | 'ldm' | 'diffusers';
}

/** Writes a VAE to `file`; in LDM layout with a loss's weights, as its training leaves them. */
export function writeVae(file: string, { naming = 'bare', ...options }: VaeOptions = {}): void {
  const model = settings(options);
  const vae = seededTensors(vaeParameters(model.family.vae), model);
  const loss = floatTensor('loss.logvar', [1], 'F32', () => new Float32Array(1));
  const ldm = [...vae.map(ldmVaeTensor), loss];
  const bare = renamed(ldm, (name) => name.replace(/^first_stage_model\./, ''));
  writeTensors(file, { diffusers: vae, ldm, bare }[naming], options);
}

/** Tables of both attention blocks of each module, as the original files have them. */
function positionTensors({ family, dtype }: Settings, version: MotionGeneration): Tensor[] {
  const config = family.motion[version];
  const length = config.motion_max_seq_length;
  return motionParameters(config)
    .filter(([name]) => name.endsWith('.temporal_transformer.norm.weight'))
    .flatMap(([name, [channels = 0]]) =>
      [0, 1].map((block) => {
        const transformer = name.replace(/norm\.weight$/, `transformer_blocks.0.attention_blocks.${block}`);
        const table = () => positionTable(length, channels);
        return floatTensor(`${transformer}.pos_encoder.pe`, [1, length, channels], dtype, table);
      }),
    );
}

/** Writes a motion module in the original layout to `file`, which ends in `.ckpt` or `.safetensors`. */
export function writeMotionModule(file: string, options: MotionModuleOptions): void {
  const model = settings(options);
  const version = options.version === 'animatelcm' ? 'v2' : options.version;
  const tensors = seededTensors(motionParameters(model.family.motion[version]), model);
  if (options.version !== 'animatelcm') tensors.push(...positionTensors(model, version));
  const { prefix = '' } = options;
  writeTensors(
    file,
    renamed(tensors, (name) => prefix + name),
    options,
  );
}

/** Writes a motion module as a diffusers MotionAdapter folder. */
export function writeMotionAdapter(
  folder: string,
  options: ModelOptions & { readonly version: MotionGeneration; readonly fileVariant?: 'fp16' },
): void {
  const model = settings(options);
  const config = model.family.motion[options.version];
  const tables = positionTensors(model, options.version).filter(({ name }) =>
    name.includes('blocks.0.pos_encoder'),
  );
  const tensors = [...seededTensors(motionParameters(config), model), ...tables];
  writeJson(path.join(folder, 'config.json'), config);
  writeTensors(weightFile(folder, 'diffusion_pytorch_model', options), renamed(tensors, diffusersMotionName));
}

function weightFile(
  folder: string,
  stem: string,
  { format = 'safetensors', fileVariant }: FolderOptions,
): string {
  return path.join(folder, [stem, fileVariant, format].filter((part) => part !== undefined).join('.'));
}

/** Splits the tensors over files of about equal size and writes the index that names the file of each. */
function writeShards(folder: string, stem: string, tensors: readonly Tensor[], options: FolderOptions): void {
  const { shards = 1, format = 'safetensors', fileVariant } = options;
  const variant = fileVariant === undefined ? '' : `.${fileVariant}`;
  const total = tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const groups: Tensor[][] = Array.from({ length: shards }, () => []);
  let before = 0;
  for (const tensor of tensors) {
    groups[Math.min(shards - 1, Math.floor((before / total) * shards))]?.push(tensor);
    before += byteLength(tensor);
  }
  const part = (index: number) => String(index).padStart(5, '0');
  const weightMap: Record<string, string> = {};
  for (const [index, group] of groups.entries()) {
    const file = path.join(folder, `${stem}${variant}-${part(index + 1)}-of-${part(shards)}.${format}`);
    writeTensors(file, group);
    for (const { name } of group) weightMap[name] = path.basename(file);
  }
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  writeJson(path.join(folder, `${stem}.${format}.index${variant}.json`), index);
}

/** Stems of the text encoder's weight file: transformers names its archives differently. */
const TEXT_ENCODER_STEMS = { safetensors: 'model', bin: 'pytorch_model' } as const;

const MODEL_INDEX = {
  _class_name: 'StableDiffusionPipeline',
  _diffusers_version: '0.42.1',
  scheduler: ['diffusers', 'DDIMScheduler'],
  text_encoder: ['transformers', 'CLIPTextModel'],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  unet: ['diffusers', 'UNet2DConditionModel'],
  vae: ['diffusers', 'AutoencoderKL'],
};

/** Writes Stable Diffusion as a diffusers folder (without a tokenizer: the package has its own). */
export function writePipelineFolder(folder: string, options: FolderOptions = {}): void {
  const model = settings(options);
  const { family } = model;
  const { format = 'safetensors', shards = 1, oldVaeNames = false } = options;
  mkdirSync(folder, { recursive: true });
  writeJson(path.join(folder, 'model_index.json'), MODEL_INDEX);
  writeJson(path.join(folder, 'scheduler', 'scheduler_config.json'), family.scheduler);
  for (const part of ['unet', 'vae', 'text_encoder'] as const) {
    writeJson(path.join(folder, part, 'config.json'), family[part]);
  }
  const unet = seededTensors(unetParameters(family.unet), model);
  const unetFolder = path.join(folder, 'unet');
  if (shards > 1) writeShards(unetFolder, 'diffusion_pytorch_model', unet, options);
  else writeTensors(weightFile(unetFolder, 'diffusion_pytorch_model', options), unet);
  const vae = seededTensors(vaeParameters(family.vae), model);
  const vaeFile = weightFile(path.join(folder, 'vae'), 'diffusion_pytorch_model', options);
  writeTensors(vaeFile, oldVaeNames ? renamed(vae, oldVaeName) : vae);
  const text = seededTensors(textEncoderParameters(family.text_encoder), model);
  writeTensors(weightFile(path.join(folder, 'text_encoder'), TEXT_ENCODER_STEMS[format], options), text);
}
