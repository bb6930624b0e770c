/** Checks the options of `AnimateDiff.load` and fills their defaults. Touches no file. */
import path from 'node:path';
import { invalidArgument } from './errors.ts';
import type { LoadOptions, MotionModuleOptions } from './options.ts';
import {
  requireChoice,
  requireFunction,
  requireInteger,
  requireKnownKeys,
  requireObject,
  requirePath,
  requireSignal,
} from './validate.ts';

const KEYS: readonly (keyof LoadOptions)[] = [
  'base',
  'checkpoint',
  'motionModule',
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
