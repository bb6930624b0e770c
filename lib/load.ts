/** From files to a filled engine: plan the weights, open LibTorch, choose the device, bind every network. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type ArchiveMetadata, readArchiveMetadata } from './archive.ts';
import { engineCall } from './engine-call.ts';
import { AnimateDiffError } from './errors.ts';
import { type GraphFamily, graphFamilies, graphFile } from './graphs.ts';
import type { LibTorchInfo } from './libtorch/find.ts';
import { type LoadRequest, readLoadOptions } from './load-options.ts';
import { devices, NativeEngine, openEngine } from './native.ts';
import type { Compat, DdimOptions, Device, Dtype, LoadOptions, MotionVersion, Notice } from './options.ts';
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

/** Networks that sampling needs; the VAE's encoder is bound when something asks for it. */
const SAMPLING_ROLES: readonly Role[] = ['text_encoder', 'unet', 'vae_decoder'];

function chooseDevice(device: Device): { kind: 'cpu' | 'cuda'; index: number } {
  if (device === 'cpu') return { kind: 'cpu', index: 0 };
  if (device === 'auto') {
    return { kind: devices().some((found) => found.kind === 'cuda') ? 'cuda' : 'cpu', index: 0 };
  }
  return { kind: 'cuda', index: Number(device.split(':')[1] ?? 0) };
}

function bytesOf(plan: ModelPlan, roles: readonly Role[]): number {
  const recipes = roles.flatMap((role) => plan.plans[role].recipes);
  return recipes.reduce((sum, { source }) => sum + (source === undefined ? 0 : tensorBytes(source)), 0);
}

async function bindAll(engine: NativeEngine, plan: ModelPlan, options: LoadRequest): Promise<void> {
  const total = bytesOf(plan, SAMPLING_ROLES);
  let before = 0;
  for (const role of SAMPLING_ROLES) {
    let bytes = 0;
    await engineCall(engine, options.signal, (guard) =>
      bindRole(
        engine,
        plan,
        role,
        guard((done: number) => {
          bytes = done;
          options.onProgress?.({ phase: 'weights', role, done: before + done, total });
        }),
      ),
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
function startEngine(options: LoadRequest) {
  const libtorch = openEngine({ libtorch: options.libtorch, device: options.device });
  const { kind, index } = chooseDevice(options.device);
  const dtype = options.dtype === 'auto' ? (kind === 'cuda' ? 'float16' : 'float32') : options.dtype;
  const engine = new NativeEngine({ device: kind, deviceIndex: index, dtype, threads: options.threads });
  const device = kind === 'cpu' ? ('cpu' as const) : (`cuda:${index}` as const);
  return { engine, libtorch, dtype, device };
}

async function loadArchive(options: LoadRequest): Promise<LoadedModel> {
  if (options.checkpoint !== undefined || options.motionModule !== undefined) {
    throw new AnimateDiffError(
      'ERR_INVALID_ARGUMENT',
      `${options.base} is a baked archive, which holds everything already: leave out \`checkpoint\` and \`motionModule\`.`,
    );
  }
  const started = startEngine(options);
  try {
    const text = await engineCall(started.engine, options.signal, () =>
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

function sourceNames(options: LoadRequest): ArchiveMetadata['sources'] {
  return {
    base: path.basename(options.base),
    checkpoint: options.checkpoint === undefined ? undefined : path.basename(options.checkpoint),
    motionModule: options.motionModule === undefined ? undefined : path.basename(options.motionModule.path),
  };
}

async function loadFiles(options: LoadRequest, notify: (notice: Notice) => void): Promise<LoadedModel> {
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
  const checked = readLoadOptions(options);
  checked.signal?.throwIfAborted();
  return (await isArchive(checked.base)) ? loadArchive(checked) : loadFiles(checked, notify);
}
