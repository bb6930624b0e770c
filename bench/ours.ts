/** A warm process of this package: node --import tsx bench/ours.ts JOB.json. `job.ts` says what it answers. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Adapters } from '../lib/adapters.ts';
import { type LoadedModel, loadModel } from '../lib/load.ts';
import { readLoras } from '../lib/load-options.ts';
import { devices, NATIVE_PHASES, type NativeClips } from '../lib/native.ts';
import type { GenerateOptions } from '../lib/options.ts';
import { packageVersion } from '../lib/package-info.ts';
import { buildRequest } from '../lib/request.ts';
import { measure, peakBytes, type Sample, waitForQuiet } from '../scripts/full-check/meter.ts';
import { readFamily } from '../test/support/family.ts';
import { type Answer, type Job, TIMESTEP, UNGUIDED_STEPS } from './job.ts';
import type { Measure, Task } from './measures.ts';
import { GUIDANCE_BATCH, latentScale } from './model.ts';
import type { Value } from './statistics.ts';
import { readTensor, writeTensor } from './tensor-file.ts';

type Values = Partial<Record<Measure, Value[]>>;

/** Milliseconds between looks at the event loop; its delays are those beyond. */
const LOOP_RESOLUTION = 1;

const now = () => performance.now() / 1000;

const timedValue = ({ seconds, foreign }: Sample): Value => ({ value: seconds, foreign });

/** Waits for a quiet machine, then measures. */
async function timed<T>(job: Job, work: () => Promise<T>): Promise<{ value: T; sample: Sample }> {
  await waitForQuiet(job.patience);
  return await measure(work);
}

async function callUNet({ engine }: LoadedModel, job: Job, values: Values): Promise<void> {
  const family = readFamily(job.family);
  const side = job.size / latentScale(family);
  const text = readTensor(job.inputs, 'text');
  const width = family.unet.cross_attention_dim;
  const inputs = [
    {
      data: readTensor(job.inputs, 'latents'),
      shape: [GUIDANCE_BATCH, family.unet.in_channels, job.frames, side, side],
    },
    { data: BigInt64Array.of(BigInt(TIMESTEP), BigInt(TIMESTEP)), shape: [GUIDANCE_BATCH] },
    { data: text, shape: [GUIDANCE_BATCH, text.length / (GUIDANCE_BATCH * width), width] },
  ];
  values.unet = [];
  for (let call = 0; call <= job.calls; call += 1) {
    const overFrames = [0, Number(job.compat === 'diffusers')];
    const { value, sample } = await timed(job, () => engine.forward('unet', inputs, overFrames));
    if (call > 0) values.unet.push(timedValue(sample));
    if (job.keep) writeTensor(job.out, 'unet', value.data);
  }
}

interface MadeClip {
  readonly clips: NativeClips;
  readonly sample: Sample;
  /** Seconds, of the same clock: begin, each step done, each frame decoded, end. */
  readonly began: number;
  readonly steps: readonly number[];
  readonly frames: readonly number[];
  readonly ended: number;
}

async function makeClip(
  model: LoadedModel,
  job: Job,
  changes: Partial<GenerateOptions> = {},
): Promise<MadeClip> {
  const { negativePrompt, size, frames, batch, steps, guidanceScale, seed } = job;
  const { native } = buildRequest(
    {
      prompt: Array.from({ length: batch }, () => job.prompt),
      seed: Array.from({ length: batch }, (_, index) => BigInt(seed) + BigInt(index)),
      ...{ negativePrompt, frames, steps, guidanceScale, width: size, height: size },
      promptSyntax: 'plain',
      ...changes,
    },
    model,
  );
  const marks: { sample: number[]; decode: number[] } = { sample: [], decode: [] };
  await waitForQuiet(job.patience);
  const began = now();
  const { value: clips, sample } = await measure(() =>
    model.engine.generate({ ...native, keepFloats: job.keep, deliverFrames: true }, (phase, done) => {
      const name = NATIVE_PHASES[phase];
      if (done > 0 && (name === 'sample' || name === 'decode')) marks[name].push(now());
    }),
  );
  return { clips, sample, began, steps: marks.sample, frames: marks.decode, ended: now() };
}

/** Seconds of each step after the first, which pays for what is computed once. */
function laterSteps({ steps, sample: { foreign } }: MadeClip): Value[] {
  return steps.slice(1).map((mark, index) => ({ value: mark - (steps[index] ?? mark), foreign }));
}

async function clip(model: LoadedModel, job: Job, values: Values): Promise<void> {
  await makeClip(model, job, { steps: 1 });
  const delays = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION });
  delays.enable();
  const made = await makeClip(model, job);
  delays.disable();
  const { foreign } = made.sample;
  const [lastStep = Number.NaN, firstFrame = Number.NaN] = [made.steps.at(-1), made.frames[0]];
  values.step = laterSteps(made);
  values.decode = [{ value: made.ended - lastStep, foreign }];
  values.clip = [timedValue(made.sample)];
  values.firstFrame = [{ value: firstFrame - made.began, foreign }];
  values.eventLoop = [{ value: Math.max(0, delays.percentile(99) / 1e6 - LOOP_RESOLUTION) }];
  if (!job.keep) return;
  for (const name of ['latents', 'pictures'] as const) {
    const tensor = made.clips[name];
    if (tensor !== undefined) writeTensor(job.out, name, tensor.data);
  }
}

async function unguided(model: LoadedModel, job: Job, values: Values): Promise<void> {
  values.unguidedStep = laterSteps(await makeClip(model, job, { guidanceScale: 1, steps: UNGUIDED_STEPS }));
}

/** From one LoRA to the other and back; the first change puts one on and is not counted. */
async function lora(model: LoadedModel, job: Job, values: Values): Promise<void> {
  const adapters = new Adapters(model);
  values.lora = [];
  for (let call = 0; call <= job.calls; call += 1) {
    const requests = readLoras([job.loras[call % 2 === 0 ? 0 : 1]]);
    const { sample } = await timed(job, () => adapters.replace(requests, () => {}));
    if (call > 0) values.lora.push(timedValue(sample));
  }
}

const TASKS: Readonly<Record<Task, (model: LoadedModel, job: Job, values: Values) => Promise<void>>> = {
  unet: callUNet,
  clip,
  unguided,
  lora,
};

async function turn(job: Job): Promise<Answer> {
  const values: Values = {};
  const { checkpoint: base, motionModule, dtype, compat, threads, device } = job;
  const model = await loadModel({ base, motionModule, dtype, compat, threads, device }, () => {});
  for (const task of job.tasks) await TASKS[task](model, job, values);
  const { weights, devicePeak } = await model.engine.memory();
  values.hostPeak = [{ value: peakBytes() }];
  if (device !== 'cpu') values.devicePeak = [{ value: devicePeak }];
  const accelerator = devices().find(({ kind }) => kind === 'cuda')?.name;
  await model.engine.close();
  const { user, system } = process.cpuUsage();
  return {
    versions: {
      'animatediff-native': packageVersion(),
      libtorch: model.libtorch.version,
      node: process.versions.node,
    },
    ...{ threads, dtype: model.dtype, weights, cpu: (user + system) / 1e6, values },
    ...(device !== 'cpu' && { accelerator }),
  };
}

const job = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Job;
writeFileSync(path.join(job.out, 'answer.json'), JSON.stringify(await turn(job)));
