/** From files to a filled engine: plan the weights, open LibTorch, choose the device, bind every network. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type ArchiveMetadata, readArchiveMetadata } from './archive.ts';
import { AnimateDiffError, invalidArgument } from './errors.ts';
import { type GraphFamily, graphFamilies, graphFile } from './graphs.ts';
import type { LibTorchInfo } from './libtorch/find.ts';
import { devices, NativeAbort, NativeEngine, openEngine } from './native.ts';
import type {
  Compat,
  DdimOptions,
  Device,
  Dtype,
  LoadOptions,
  MotionModuleOptions,
  MotionVersion,
  Notice,
} from './options.ts';
import {
  requireChoice,
  requireFunction,
  requireInteger,
  requireKnownKeys,
  requireObject,
  requirePath,
} from './validate.ts';
import { type ModelPlan, planModel } from './weights/plan.ts';
import { tensorBytes } from './weights/shapes.ts';
import { detectFormat } from './weights/tensor-file.ts';
import type { Role } from './weights/types.ts';

/** Element type of the networks after `auto` was decided. */
export type EngineDtype = Exclude<Dtype, 'auto'>;

/** A filled engine and what is known about it. */
export interface LoadedModel {
  readonly engine: NativeEngine;
  readonly libtorch: LibTorchInfo;
  readonly family: GraphFamily;
  readonly device: 'cpu' | `cuda:${number}`;
  readonly dtype: EngineDtype;
  readonly compat: Compat;
  readonly motion?: { readonly version: MotionVersion; readonly maxFrames: number };
  /** What the UNet predicts, where the files say so. */
  readonly predictionType?: DdimOptions['predictionType'];
  readonly sources: ArchiveMetadata['sources'];
  /** Absent for archives, whose networks are all bound. */
  readonly plan?: ModelPlan;
}

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

/** Networks that sampling needs; the VAE's encoder is bound when something asks for it. */
const SAMPLING_ROLES: readonly Role[] = ['text_encoder', 'unet', 'vae_decoder'];

function readMotionModule(value: LoadOptions['motionModule']): MotionModuleOptions | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return { path: requirePath('motionModule', value) };
  requireKnownKeys('motionModule', requireObject('motionModule', value), ['path', 'version']);
  const file = requirePath('motionModule.path', value.path);
  if (value.version === undefined) return { path: file };
  return { path: file, version: requireChoice('motionModule.version', value.version, VERSIONS) };
}

/** Checks every option before anything is opened. */
function validate(options: LoadOptions) {
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
    signal: options.signal,
  };
}

type Validated = ReturnType<typeof validate>;

function chooseDevice(device: Device): { kind: 'cpu' | 'cuda'; index: number } {
  if (device === 'cpu') return { kind: 'cpu', index: 0 };
  if (device === 'auto') {
    return { kind: devices().some((found) => found.kind === 'cuda') ? 'cuda' : 'cpu', index: 0 };
  }
  return { kind: 'cuda', index: Number(device.split(':')[1] ?? 0) };
}

/** Runs engine work that `signal` can end; rejects with the signal's reason. */
export async function abortable<T>(
  engine: NativeEngine,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const cancel = () => engine.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await work();
  } catch (error) {
    if (error instanceof NativeAbort && signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

function bytesOf(plan: ModelPlan, roles: readonly Role[]): number {
  const recipes = roles.flatMap((role) => plan.plans[role].recipes);
  return recipes.reduce((sum, { source }) => sum + (source === undefined ? 0 : tensorBytes(source)), 0);
}

async function bindAll(engine: NativeEngine, plan: ModelPlan, options: Validated): Promise<void> {
  const total = bytesOf(plan, SAMPLING_ROLES);
  let before = 0;
  for (const role of SAMPLING_ROLES) {
    let bytes = 0;
    await abortable(engine, options.signal, () =>
      bindRole(engine, plan, role, (done) => {
        bytes = done;
        options.onProgress?.({ phase: 'weights', role, done: before + done, total });
      }),
    );
    before += bytes;
  }
}

/** Binds one network of a plan. `progress` gets bytes read. */
export function bindRole(
  engine: NativeEngine,
  plan: ModelPlan,
  role: Role,
  progress?: (done: number) => void,
): Promise<void> {
  const { graph, recipes } = plan.plans[role];
  return engine.bind(role, graphFile(graph), recipes, progress && ((_phase, done) => progress(done)));
}

function familyNamed(name: string): GraphFamily {
  const family = graphFamilies().find((candidate) => candidate.name === name);
  if (family !== undefined) return family;
  throw new AnimateDiffError(
    'ERR_NATIVE_NOT_FOUND',
    `There are no graphs for '${name}'. Reinstall animatediff-native.`,
  );
}

async function isArchive(base: string): Promise<boolean> {
  const found = await stat(base).catch(() => undefined);
  return found?.isFile() === true && (await detectFormat(base)) === 'torchscript';
}

/** Opens LibTorch and makes an engine on the chosen device. */
function startEngine(options: Validated) {
  const libtorch = openEngine({ libtorch: options.libtorch, device: options.device });
  const { kind, index } = chooseDevice(options.device);
  const dtype = options.dtype === 'auto' ? (kind === 'cuda' ? 'float16' : 'float32') : options.dtype;
  const engine = new NativeEngine({ device: kind, deviceIndex: index, dtype, threads: options.threads });
  const device = kind === 'cpu' ? ('cpu' as const) : (`cuda:${index}` as const);
  return { engine, libtorch, dtype, device };
}

async function loadArchive(options: Validated): Promise<LoadedModel> {
  if (options.checkpoint !== undefined || options.motionModule !== undefined) {
    throw new AnimateDiffError(
      'ERR_INVALID_ARGUMENT',
      `${options.base} is a baked archive, which holds everything already: leave out \`checkpoint\` and \`motionModule\`.`,
    );
  }
  const started = startEngine(options);
  try {
    const text = await abortable(started.engine, options.signal, () =>
      started.engine.loadArchive(options.base),
    );
    const metadata = readArchiveMetadata(text, options.base);
    const { motion, predictionType, sources } = metadata;
    return {
      ...started,
      family: familyNamed(metadata.family),
      compat: options.compat,
      motion,
      predictionType,
      sources,
    };
  } catch (error) {
    await started.engine.close();
    throw error;
  }
}

function sourceNames(options: Validated): ArchiveMetadata['sources'] {
  return {
    base: path.basename(options.base),
    checkpoint: options.checkpoint === undefined ? undefined : path.basename(options.checkpoint),
    motionModule: options.motionModule === undefined ? undefined : path.basename(options.motionModule.path),
  };
}

async function loadFiles(options: Validated, notify: (notice: Notice) => void): Promise<LoadedModel> {
  const { base, checkpoint, motionModule } = options;
  options.onProgress?.({ phase: 'plan', done: 0, total: 1 });
  const plan = await planModel({ base, checkpoint, motionModule });
  options.onProgress?.({ phase: 'plan', done: 1, total: 1 });
  for (const notice of plan.notices) notify(notice);
  const started = startEngine(options);
  try {
    await bindAll(started.engine, plan, options);
  } catch (error) {
    await started.engine.close();
    throw error;
  }
  return {
    ...started,
    family: familyNamed(plan.family),
    compat: options.compat,
    motion: plan.motion,
    predictionType: plan.prediction?.type,
    sources: sourceNames(options),
    plan,
  };
}

/** Checks the options, then loads. Everything is freed again when it fails or is aborted. */
export async function loadModel(
  options: LoadOptions,
  notify: (notice: Notice) => void,
): Promise<LoadedModel> {
  const checked = validate(options);
  checked.signal?.throwIfAborted();
  return (await isArchive(checked.base)) ? loadArchive(checked) : loadFiles(checked, notify);
}
