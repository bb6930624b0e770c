/** From options to a filled engine: plan the weights, open LibTorch, choose the device, bind every network. */

import { chooseDevice } from './device.ts';
import { engineCall } from './engine-call.ts';
import { readEnvironment } from './environment.ts';
import { AnimateDiffError } from './errors.ts';
import type { Notice } from './events.ts';
import { graphFile } from './graphs.ts';
import { resolveLoadSources } from './hub/load-sources.ts';
import { explainCuda } from './libtorch/cuda.ts';
import type { LibTorchInfo } from './libtorch/find.ts';
import { findLibcuda, nvidiaDriver } from './libtorch/nvidia.ts';
import { type LoadRequest, readLoadOptions } from './load-options.ts';
import { type PlannedModel, planRequest } from './model-plan.ts';
import { samplingNotices } from './motion-sampling.ts';
import {
  cpuMultipliesBfloat16,
  cudaDeviceCount,
  NativeEngine,
  type NativeNotice,
  openEngine,
} from './native.ts';
import type { Compat, Dtype, LoadOptions } from './options.ts';
import { isLoraRole, type LoraPlan, withTerms } from './weights/loras.ts';
import { recipeBytes } from './weights/shapes.ts';
import type { Role, WeightPlan } from './weights/types.ts';

/** Element type of the networks after `auto` was decided. */
export type EngineDtype = Exclude<Dtype, 'auto'>;

/** An engine on its device. */
interface StartedEngine {
  readonly engine: NativeEngine;
  readonly libtorch: LibTorchInfo;
  readonly device: 'cpu' | `cuda:${number}`;
  readonly dtype: EngineDtype;
  readonly threads: number;
}

/** A filled engine and what is known about it. */
export interface LoadedModel extends PlannedModel, StartedEngine {
  readonly compat: Compat;
}

/** Networks that sampling needs; the VAE's encoder is bound when something asks for it. */
const SAMPLING_ROLES: readonly Role[] = ['text_encoder', 'unet', 'vae_decoder'];
const ALL_ROLES: readonly Role[] = [...SAMPLING_ROLES, 'vae_encoder'];

/** Why CUDA is not used with this LibTorch. */
function whyNotCuda(libtorch: LibTorchInfo): string {
  const environment = readEnvironment();
  const reason = explainCuda({
    devices: [],
    driver: nvidiaDriver(),
    libcuda: findLibcuda(environment),
    visibleDevices: environment.cudaVisibleDevices,
    libtorch,
  });
  return reason ?? 'this process opened LibTorch for the CPU';
}

/** What `auto` means: half as many bits where the device multiplies them itself. */
function fastDtype(kind: 'cpu' | 'cuda'): EngineDtype {
  if (kind === 'cuda') return 'float16';
  return cpuMultipliesBfloat16() ? 'bfloat16' : 'float32';
}

function startEngine(request: LoadRequest, notify: (notice: Notice) => void): StartedEngine {
  const libtorch = openEngine({ libtorch: request.libtorch, device: request.device });
  const count = request.device === 'cpu' ? 0 : cudaDeviceCount();
  const { kind, index } = chooseDevice(request.device, count, () => whyNotCuda(libtorch));
  // `auto` on a machine with an NVIDIA driver that nevertheless runs on the CPU is worth a word.
  if (request.device === 'auto' && kind === 'cpu' && nvidiaDriver().present) {
    notify({ code: 'device-cpu', message: `Running on the CPU: ${whyNotCuda(libtorch)}.` });
  }
  const dtype = request.dtype === 'auto' ? fastDtype(kind) : request.dtype;
  const { threads, memory } = request;
  const plain = readEnvironment().plainGraphs;
  const engine = new NativeEngine({ device: kind, deviceIndex: index, dtype, threads, plain, memory });
  return { engine, libtorch, device: kind === 'cpu' ? 'cpu' : `cuda:${index}`, dtype, threads };
}

function planBytes(plan: WeightPlan | undefined): number {
  return (plan?.recipes ?? []).reduce((sum, recipe) => sum + recipeBytes(recipe), 0);
}

/** The plan of each network with the terms of the adapters. */
function mergedPlans({ plans }: Pick<PlannedModel, 'plans'>, loras: LoraPlan): PlannedModel['plans'] {
  const entries = Object.entries(plans) as [Role, WeightPlan][];
  return Object.fromEntries(
    entries.map(([role, plan]) => [role, isLoraRole(role) ? withTerms(plan, loras.terms[role]) : plan]),
  );
}

async function bindAll(
  engine: NativeEngine,
  model: PlannedModel,
  request: LoadRequest,
  notify: (notice: Notice) => void,
): Promise<void> {
  const plans = mergedPlans(model, model.loras);
  const total = SAMPLING_ROLES.reduce((sum, role) => sum + planBytes(plans[role]), 0);
  let before = 0;
  for (const role of SAMPLING_ROLES) {
    const start = before;
    await engineCall(engine, request.signal, (guard) =>
      bindRole(
        engine,
        plans,
        role,
        guard((done: number) => request.onProgress?.({ phase: 'weights', role, done: start + done, total })),
        guard((code, message) => notify({ code, message })),
      ),
    );
    before += planBytes(plans[role]);
  }
}

/** Binds one network of a plan. `progress` gets bytes read. */
export async function bindRole(
  engine: NativeEngine,
  plans: PlannedModel['plans'],
  role: Role,
  progress?: (done: number) => void,
  notice?: NativeNotice,
): Promise<void> {
  const plan = plans[role];
  if (plan === undefined) {
    throw new AnimateDiffError(
      'ERR_WEIGHTS_MISSING',
      `The archive holds no ${role}. Bake it again from its sources.`,
    );
  }
  await engine.bind(
    role,
    graphFile(plan.graph),
    plan.recipes,
    progress && ((_phase, done) => progress(done)),
    notice,
  );
}

/** Another engine with the networks of a model in another element type, from the same files. The caller closes it. */
export async function refill(model: LoadedModel, loras: LoraPlan, dtype: EngineDtype): Promise<NativeEngine> {
  const { device, threads } = model;
  const [kind, index] =
    device === 'cpu' ? (['cpu', 0] as const) : (['cuda', Number(device.slice(5))] as const);
  const engine = new NativeEngine({ device: kind, deviceIndex: index, dtype, threads });
  try {
    const plans = mergedPlans(model, loras);
    for (const role of ALL_ROLES) await bindRole(engine, plans, role);
    return engine;
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** Checks the options, then loads. Everything is freed again when it fails or is aborted. */
export async function loadModel(
  options: LoadOptions,
  notify: (notice: Notice) => void,
): Promise<LoadedModel> {
  // Wrong options are refused before anything is fetched for them.
  const { signal, onProgress } = readLoadOptions(options);
  const local = await resolveLoadSources(options, {
    signal,
    onProgress: ({ name, done, total = 0 }) => onProgress?.({ phase: 'download', file: name, done, total }),
  });
  const request = readLoadOptions(local);
  request.signal?.throwIfAborted();
  request.onProgress?.({ phase: 'plan', done: 0, total: 1 });
  const model = await planRequest(request);
  request.onProgress?.({ phase: 'plan', done: 1, total: 1 });
  request.signal?.throwIfAborted();
  for (const notice of model.notices) notify(notice);
  for (const notice of samplingNotices(model.motion, request)) notify(notice);
  const started = startEngine(request, notify);
  try {
    await bindAll(started.engine, model, request, notify);
  } catch (error) {
    await started.engine.close();
    throw error;
  }
  return { ...started, ...model, compat: request.compat };
}
