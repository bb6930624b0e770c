/** Checks the options of `AnimateDiff.load` and fills their defaults. Touches no file. */
import path from 'node:path';
import { invalidArgument } from './errors.ts';
import { formatSource, parseSource, type SourceInput } from './hub/source.ts';
import { type EmbeddingOptions, type LoadOptions, type LoraOptions, MEMORY_MODES } from './options.ts';
import {
  requireBoolean,
  requireChoice,
  requireFunction,
  requireInteger,
  requireKnownKeys,
  requireObject,
  requirePath,
  requireSignal,
} from './validate.ts';
import type { EmbeddingRequest } from './weights/embeddings.ts';
import type { LoraRequest } from './weights/loras.ts';
import type { MotionModuleRequest } from './weights/plan.ts';

const KEYS: readonly (keyof LoadOptions)[] = [
  'base',
  'checkpoint',
  'vae',
  'motionModule',
  'loras',
  'embeddings',
  'device',
  'dtype',
  'memory',
  'compat',
  'threads',
  'libtorch',
  'signal',
  'onProgress',
  'onNotice',
];
const DTYPES = ['auto', 'float32', 'bfloat16', 'float16'] as const;
const VERSIONS = ['v1', 'v2', 'v3', 'animatelcm', 'lightning'] as const;

/** Steps for which there are AnimateDiff-Lightning modules. */
const LIGHTNING_STEPS: readonly number[] = [1, 2, 4, 8];

/** A path or another source as text. Relative paths stay relative. */
function readSource(name: string, value: SourceInput): string {
  if (!isAddress(value)) return requirePath(name, value);
  requireKnownKeys(name, value, ['url', 'sha256']);
  return formatSource(parseSource(value));
}

/** `{ url, sha256 }`, as far as its first key tells. */
function isAddress(value: unknown): value is Exclude<SourceInput, string> {
  return typeof value === 'object' && value !== null && 'url' in value;
}

function readMotionModule(value: LoadOptions['motionModule']): MotionModuleRequest | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' || isAddress(value)) return { path: readSource('motionModule', value) };
  requireKnownKeys('motionModule', requireObject('motionModule', value), [
    'path',
    'version',
    'steps',
    'scale',
  ]);
  const { version, steps, scale } = value;
  if (steps !== undefined && !LIGHTNING_STEPS.includes(steps)) {
    throw invalidArgument('motionModule.steps', '1, 2, 4 or 8', steps);
  }
  if (scale !== undefined && !Number.isFinite(scale)) {
    throw invalidArgument('motionModule.scale', 'a finite number', scale);
  }
  return {
    path: readSource('motionModule.path', value.path),
    ...(version !== undefined && { version: requireChoice('motionModule.version', version, VERSIONS) }),
    ...(steps !== undefined && { steps }),
    ...(scale !== undefined && { scale }),
  };
}

function readLora(name: string, value: SourceInput | LoraOptions): LoraRequest {
  const short = typeof value === 'string' || isAddress(value);
  const options: LoraOptions = short ? { path: value } : requireObject(name, value);
  requireKnownKeys(name, options, ['path', 'scale', 'ignoreAlpha']);
  const { scale = 1, ignoreAlpha = false } = options;
  if (!Number.isFinite(scale)) throw invalidArgument(`${name}.scale`, 'a finite number', scale);
  return {
    path: path.resolve(readSource(`${name}.path`, options.path)),
    scale,
    ignoreAlpha: requireBoolean(`${name}.ignoreAlpha`, ignoreAlpha),
  };
}

/** Checks a list of adapters; throws `ERR_INVALID_ARGUMENT`. Paths become absolute, defaults are filled in. */
export function readLoras(value: LoadOptions['loras']): readonly LoraRequest[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidArgument('loras', 'a list of paths or of { path, scale }', value);
  return value.map((lora, index) => readLora(`loras[${index}]`, lora));
}

function readEmbedding(name: string, value: SourceInput | EmbeddingOptions): EmbeddingRequest {
  const short = typeof value === 'string' || isAddress(value);
  const options: EmbeddingOptions = short ? { path: value } : requireObject(name, value);
  requireKnownKeys(name, options, ['path', 'token']);
  const file = path.resolve(readSource(`${name}.path`, options.path));
  if (options.token === undefined) return { path: file };
  if (typeof options.token === 'string' && /\S/.test(options.token))
    return { path: file, token: options.token };
  throw invalidArgument(`${name}.token`, 'a word', options.token);
}

function readEmbeddings(value: LoadOptions['embeddings']): readonly EmbeddingRequest[] {
  if (value === undefined) return [];
  if (!Array.isArray(value))
    throw invalidArgument('embeddings', 'a list of paths or of { path, token }', value);
  return value.map((embedding, index) => readEmbedding(`embeddings[${index}]`, embedding));
}

/** Checks every option; throws `ERR_INVALID_ARGUMENT`. Paths become absolute. */
export function readLoadOptions(options: LoadOptions) {
  requireKnownKeys('options', requireObject('options', options), KEYS);
  const device = options.device ?? 'auto';
  if (typeof device !== 'string' || !/^(auto|cpu|cuda|cuda:\d{1,3})$/.test(device)) {
    throw invalidArgument('device', `'auto', 'cpu', 'cuda' or 'cuda:N'`, device);
  }
  return {
    base: path.resolve(readSource('base', options.base)),
    checkpoint:
      options.checkpoint === undefined
        ? undefined
        : path.resolve(readSource('checkpoint', options.checkpoint)),
    vae: options.vae === undefined ? undefined : path.resolve(readSource('vae', options.vae)),
    motionModule: readMotionModule(options.motionModule),
    loras: readLoras(options.loras),
    embeddings: readEmbeddings(options.embeddings),
    device,
    dtype: requireChoice('dtype', options.dtype ?? 'auto', DTYPES),
    memory: requireChoice('memory', options.memory ?? 'auto', MEMORY_MODES),
    compat: requireChoice('compat', options.compat ?? 'original', ['original', 'diffusers']),
    threads: options.threads === undefined ? 0 : requireInteger('threads', options.threads, 1, 1024),
    libtorch: options.libtorch === undefined ? undefined : requirePath('libtorch', options.libtorch),
    onProgress: requireFunction('onProgress', options.onProgress),
    onNotice: requireFunction('onNotice', options.onNotice),
    signal: requireSignal(options.signal),
  };
}

/** Options with every default filled in. `threads` 0: LibTorch decides. */
export type LoadRequest = ReturnType<typeof readLoadOptions>;
