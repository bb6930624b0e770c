/** One turn of this package. Usage: node --import tsx scripts/full-check/ours.ts JOB.json */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadModel } from '../../lib/load.ts';
import { NATIVE_PHASES, type NativeClips, openEngine } from '../../lib/native.ts';
import type { GenerateOptions } from '../../lib/options.ts';
import { packageVersion } from '../../lib/package-info.ts';
import { buildRequest } from '../../lib/request.ts';
import { seededTensor } from '../../test/support/seeded-weights.ts';
import { type Job, type TensorName, TIMESTEP, type Turn } from './job.ts';
import { measure, peakBytes, type Sample, waitForQuiet } from './meter.ts';

type Model = Awaited<ReturnType<typeof loadModel>>;

/** Conditional and unconditional half, as guidance needs them. */
const BATCH = 2;
const TEXT_SHAPE = [BATCH, 77, 768] as const;

function save({ out }: Job, name: TensorName, data: Float32Array): void {
  writeFileSync(path.join(out, `${name}.f32`), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function load(job: Job): Promise<Model> {
  const { checkpoint: base, motionModule, dtype, compat, threads } = job;
  return loadModel({ base, motionModule, dtype, compat, threads, device: 'cpu' }, () => {});
}

/** Calls the UNet on inputs of unit variance; both sides compute them from the same names. */
async function callUNet({ engine }: Model, job: Job): Promise<Sample[]> {
  const side = job.size / 8;
  const shape = [BATCH, 4, job.frames, side, side];
  const count = (dimensions: readonly number[]) => dimensions.reduce((product, each) => product * each, 1);
  const inputs = [
    { data: seededTensor('latents.weight', [count(shape)]), shape },
    { data: BigInt64Array.of(BigInt(TIMESTEP), BigInt(TIMESTEP)), shape: [BATCH] },
    { data: seededTensor('text.weight', [count(TEXT_SHAPE)]), shape: TEXT_SHAPE },
  ];
  const samples: Sample[] = [];
  for (let call = 0; call < job.calls; call += 1) {
    await waitForQuiet(job.patience);
    const { value, sample } = await measure(() =>
      engine.forward('unet', inputs, [0, Number(job.compat === 'diffusers')]),
    );
    samples.push(sample);
    save(job, 'unet', value.data);
  }
  return samples;
}

/** When each step and each decoded frame was done, in seconds. */
interface Marks {
  readonly sample: number[];
  readonly decode: number[];
}

function saveClip(job: Job, { latents, pictures }: NativeClips): void {
  if (latents !== undefined) save(job, 'latents', latents.data);
  if (pictures !== undefined) save(job, 'pictures', pictures.data);
}

async function makeClip(model: Model, job: Job) {
  const { prompt, negativePrompt, size, frames, steps, guidanceScale, seed } = job;
  const options: GenerateOptions = {
    ...{ prompt, negativePrompt, width: size, height: size, frames, steps, guidanceScale, seed },
    promptSyntax: 'plain',
  };
  const { native } = buildRequest(options, model);
  const marks: Marks = { sample: [], decode: [] };
  await waitForQuiet(job.patience);
  const { value, sample } = await measure(() =>
    model.engine.generate({ ...native, keepFloats: true }, (phase, done) => {
      const name = NATIVE_PHASES[phase];
      if (done > 0 && (name === 'sample' || name === 'decode')) marks[name].push(performance.now() / 1000);
    }),
  );
  saveClip(job, value);
  const laterSteps = marks.sample.slice(1).map((mark, index) => mark - (marks.sample[index] ?? mark));
  const decode = (marks.decode.at(-1) ?? 0) - (marks.sample.at(-1) ?? 0);
  return { tokens: [...native.prompts.ids, ...native.negatives.ids], clip: sample, laterSteps, decode };
}

async function turn(job: Job): Promise<Turn> {
  const libtorch = openEngine({ device: 'cpu' });
  const before = peakBytes();
  await waitForQuiet(job.patience);
  const { value: model, sample } = await measure(() => load(job));
  const loaded = peakBytes();
  const { weights } = await model.engine.memory();
  const unet = await callUNet(model, job);
  const clip = await makeClip(model, job);
  await model.engine.close();
  return {
    versions: {
      'animatediff-native': packageVersion(),
      libtorch: libtorch.version,
      node: process.versions.node,
    },
    threads: job.threads,
    weights,
    memory: { before, loaded, end: peakBytes() },
    load: sample,
    unet,
    ...clip,
  };
}

async function main([file = '']: readonly string[]): Promise<void> {
  const job = JSON.parse(readFileSync(file, 'utf8')) as Job;
  writeFileSync(path.join(job.out, 'turn.json'), JSON.stringify(await turn(job)));
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
