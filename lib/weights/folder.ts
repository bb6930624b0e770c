/**
 * Reader of diffusers folders: a pipeline (`model_index.json` with `unet/`, `vae/`, `text_encoder/`) or one
 * component such as a MotionAdapter (`config.json` beside the weights). Weights may be sharded.
 */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { AnimateDiffError, seen } from '../errors.ts';
import { cannotRead, withBytes } from './byte-source.ts';
import { corruptFile, unreadableFormat } from './file-errors.ts';
import { readTensorFile } from './tensor-file.ts';
import type { TensorFile, TensorSource } from './types.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** A folder that was read. Tensors of a pipeline are named `<component>.<name>`. */
export interface ModelFolder {
  readonly path: string;
  /** `model_index.json` of a pipeline. */
  readonly index?: JsonObject;
  /** `config.json` by component; the folder's own under the empty name. */
  readonly configs: Readonly<Record<string, JsonObject>>;
  /** `scheduler/scheduler_config.json` of a pipeline. */
  readonly scheduler?: JsonObject;
  /** All weights as one list. */
  readonly file: TensorFile;
}

/** Subfolders of a pipeline that hold networks of this package. */
export const COMPONENTS = ['unet', 'vae', 'text_encoder', 'motion_adapter'];

/** File names of diffusers and transformers, the preferred first: safetensors, then full precision. */
export const WEIGHT_NAMES = [
  ...['diffusion_pytorch_model', 'model'].flatMap((stem) => [
    `${stem}.safetensors`,
    `${stem}.safetensors.index.json`,
    `${stem}.fp16.safetensors`,
    `${stem}.safetensors.index.fp16.json`,
  ]),
  ...['diffusion_pytorch_model', 'pytorch_model'].flatMap((stem) => [
    `${stem}.bin`,
    `${stem}.bin.index.json`,
    `${stem}.fp16.bin`,
    `${stem}.bin.index.fp16.json`,
  ]),
];

const MAX_JSON_BYTES = 64 << 20;

/**
 * Reads the configs and the headers of all weights in a folder.
 * Throws ERR_FILE_NOT_FOUND (also for a missing shard), ERR_FILE_FORMAT when it holds no diffusers weights,
 * ERR_FILE_CORRUPT for damaged JSON or a weight map that leaves the folder.
 */
export async function readFolder(folder: string): Promise<ModelFolder> {
  const root = path.resolve(folder);
  const names = await listFolder(root);
  const ownWeights = WEIGHT_NAMES.find((name) => names.includes(name));
  const parts = new Map<string, TensorFile>();
  const configs: [string, JsonObject][] = [];
  if (ownWeights !== undefined) {
    parts.set('', await readWeights(root, ownWeights));
    configs.push(['', (await readOptionalJson(path.join(root, 'config.json'))) ?? {}]);
  } else {
    for (const component of COMPONENTS.filter((name) => names.includes(name))) {
      const weights = await readComponent(path.join(root, component));
      const config = await readOptionalJson(path.join(root, component, 'config.json'));
      if (component === 'motion_adapter' && hasMotion(parts.get('unet'))) continue;
      if (weights !== undefined) parts.set(component, weights);
      if (config !== undefined) configs.push([component, config]);
    }
  }
  if (parts.size === 0) throw noWeights(root, names);
  return {
    path: root,
    index: await readOptionalJson(path.join(root, 'model_index.json')),
    configs: Object.fromEntries(configs),
    scheduler: await readOptionalJson(path.join(root, 'scheduler', 'scheduler_config.json')),
    file: merge(root, parts),
  };
}

/** A UNetMotionModel already contains what the pipeline saves once more as its motion adapter. */
function hasMotion(unet: TensorFile | undefined): boolean {
  return unet !== undefined && [...unet.tensors.keys()].some((name) => name.includes('.motion_modules.'));
}

async function readComponent(folder: string): Promise<TensorFile | undefined> {
  const names = await listFolder(folder);
  const weights = WEIGHT_NAMES.find((name) => names.includes(name));
  return weights === undefined ? undefined : readWeights(folder, weights);
}

function readWeights(folder: string, name: string): Promise<TensorFile> {
  return name.endsWith('.json') ? readShards(folder, name) : readTensorFile(path.join(folder, name));
}

/** All shards that an index names, as one list. Each tensor is taken from the shard that the index says. */
async function readShards(folder: string, indexName: string): Promise<TensorFile> {
  const indexFile = path.join(folder, indexName);
  const map = (await readJson(indexFile)).weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw corruptFile(indexFile, 'it has no weight_map');
  }
  const shards = new Map<string, TensorFile>();
  const tensors = new Map<string, TensorSource>();
  for (const [tensor, shardName] of Object.entries(map)) {
    const file = shardPath(indexFile, shardName);
    const shard = shards.get(file) ?? (await readShard(indexFile, file));
    shards.set(file, shard);
    const source = shard.tensors.get(tensor);
    if (source === undefined)
      throw corruptFile(file, `it lacks tensor ${seen(tensor)}, which ${indexName} places there`);
    tensors.set(tensor, source);
  }
  const sizes = [...shards.values()].map(({ size }) => size);
  const [first] = shards.values();
  if (first === undefined) throw corruptFile(indexFile, 'its weight_map is empty');
  return { ...first, path: indexFile, size: sizes.reduce((sum, size) => sum + size, 0), tensors };
}

function shardPath(indexFile: string, name: unknown): string {
  if (
    typeof name !== 'string' ||
    name === '' ||
    path.basename(name) !== name ||
    name === '..' ||
    /[\\\p{Cc}]/u.test(name)
  ) {
    throw corruptFile(indexFile, `its weight_map names ${seen(name)}, which is no file beside it`);
  }
  return path.join(path.dirname(indexFile), name);
}

async function readShard(indexFile: string, file: string): Promise<TensorFile> {
  try {
    return await readTensorFile(file);
  } catch (error) {
    if (!(error instanceof AnimateDiffError) || error.code !== 'ERR_FILE_NOT_FOUND') throw error;
    throw new AnimateDiffError(
      'ERR_FILE_NOT_FOUND',
      `The shard ${file} is missing, which ${path.basename(indexFile)} names. Download the whole folder again.`,
      { cause: error, details: { file, index: indexFile } },
    );
  }
}

function merge(root: string, parts: ReadonlyMap<string, TensorFile>): TensorFile {
  const tensors = new Map<string, TensorSource>();
  let size = 0;
  for (const [component, part] of parts) {
    const prefix = component === '' ? '' : `${component}.`;
    for (const [name, source] of part.tensors) tensors.set(prefix + name, source);
    size += part.size;
  }
  const format = [...parts.values()][0]?.format ?? 'safetensors';
  return { path: root, format, size, tensors, metadata: {} };
}

function noWeights(root: string, names: readonly string[]): AnimateDiffError {
  const single = names.find((name) => /\.(safetensors|ckpt|pt|pth)$/.test(name));
  return unreadableFormat(
    root,
    'is a folder without diffusers weights (no unet/, vae/, text_encoder/, no diffusion_pytorch_model.*)',
    single === undefined
      ? 'Give a diffusers folder or a weight file.'
      : `Give the file itself: ${path.join(root, single)}`,
  );
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw cannotRead(folder, error);
  }
}

async function readOptionalJson(file: string): Promise<JsonObject | undefined> {
  try {
    await stat(file);
  } catch {
    return undefined;
  }
  return readJson(file);
}

async function readJson(file: string): Promise<JsonObject> {
  const text = await readText(file);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch (error) {
    throw corruptFile(file, 'it is not JSON', {}, error);
  }
  throw corruptFile(file, 'it is not a JSON object');
}

/** By way of {@link withBytes}: a pipe or a device under the name of a config would block, or never end. */
function readText(file: string): Promise<string> {
  return withBytes(file, async (bytes) => {
    if (bytes.size > MAX_JSON_BYTES) throw corruptFile(file, `it is over ${MAX_JSON_BYTES} bytes long`);
    return (await bytes.read(0, bytes.size)).toString('utf8');
  });
}
