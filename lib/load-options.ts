/** Checks the options of `AnimateDiff.load` and fills their defaults. Touches no file. */
import path from 'node:path';
import { invalidArgument } from './errors.ts';
import type { EmbeddingOptions, LoadOptions, LoraOptions, MotionModuleOptions } from './options.ts';
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

const KEYS: readonly (keyof LoadOptions)[] = [
  'base',
  'checkpoint',
  'motionModule',
  'loras',
  'embeddings',
  'device',
  'dtype',
  'compat',
  'threads',
  'libtorch',
  'signal',
  'onProgress',
  'onNotice',
];
const DTYPES = ['auto', 'float32', 'bfloat16', 'float16'] as const;
const VERSIONS = ['v1', 'v2', 'v3', 'animatelcm'] as const;

function readMotionModule(value: LoadOptions['motionModule']): MotionModuleOptions | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return { path: requirePath('motionModule', value) };
  requireKnownKeys('motionModule', requireObject('motionModule', value), ['path', 'version']);
  const file = requirePath('motionModule.path', value.path);
  if (value.version === undefined) return { path: file };
  return { path: file, version: requireChoice('motionModule.version', value.version, VERSIONS) };
}

function readLora(name: string, value: string | LoraOptions): LoraRequest {
  const options = typeof value === 'string' ? { path: value } : requireObject(name, value);
  requireKnownKeys(name, options, ['path', 'scale', 'ignoreAlpha']);
  const { scale = 1, ignoreAlpha = false } = options;
  if (!Number.isFinite(scale)) throw invalidArgument(`${name}.scale`, 'a finite number', scale);
  return {
    path: path.resolve(requirePath(`${name}.path`, options.path)),
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

function readEmbedding(name: string, value: string | EmbeddingOptions): EmbeddingRequest {
  const options = typeof value === 'string' ? { path: value } : requireObject(name, value);
  requireKnownKeys(name, options, ['path', 'token']);
  const file = path.resolve(requirePath(`${name}.path`, options.path));
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
    base: path.resolve(requirePath('base', options.base)),
    checkpoint:
      options.checkpoint === undefined
        ? undefined
        : path.resolve(requirePath('checkpoint', options.checkpoint)),
    motionModule: readMotionModule(options.motionModule),
    loras: readLoras(options.loras),
    embeddings: readEmbeddings(options.embeddings),
    device,
    dtype: requireChoice('dtype', options.dtype ?? 'auto', DTYPES),
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
