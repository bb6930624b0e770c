/** One turn of this package for check-loading.mjs. Usage: node --import tsx scripts/full-check/load-ours.ts JOB.json */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Adapters } from '../../lib/adapters.ts';
import { loadModel } from '../../lib/load.ts';
import { readLoras } from '../../lib/load-options.ts';
import { openEngine } from '../../lib/native.ts';
import type { LoadOptions, LoraOptions } from '../../lib/options.ts';
import { packageVersion } from '../../lib/package-info.ts';
import type { LoadingJob } from './job.ts';
import { measure, peakBytes, type Sample, waitForQuiet } from './meter.ts';

type Model = Awaited<ReturnType<typeof loadModel>>;

const DEMO = path.resolve(import.meta.dirname, '../../models/demo');
/** The small model of this package, with adapters of its own. */
const TINY = {
  base: path.join(DEMO, 'base.safetensors'),
  motionModule: path.join(DEMO, 'motion_module.safetensors'),
  loras: ['crayon_lora', 'zoom_in_motion_lora'].map((name) => ({
    path: path.join(DEMO, `${name}.safetensors`),
    scale: 0.8,
  })),
};

/** Seconds of each kind of change, one after the other. */
async function changeLoras(model: Model, loras: readonly LoraOptions[]): Promise<Record<string, Sample>> {
  const adapters = new Adapters(model);
  const change = async (to: readonly LoraOptions[]) =>
    (await measure(() => adapters.replace(readLoras(to), () => {}))).sample;
  return {
    scales: await change(loras.map((lora, index) => ({ ...lora, scale: index - 0.5 }))),
    oneLess: await change(loras.slice(0, 1)),
    none: await change([]),
    all: await change(loras),
  };
}

async function turn(job: LoadingJob) {
  const { checkpoint: base, motionModule, loras, dtype, threads, patience } = job;
  const options: LoadOptions = { base, motionModule, loras, dtype, threads, device: 'cpu' };
  const libtorch = openEngine({ device: 'cpu' });
  const before = peakBytes();
  await waitForQuiet(patience);
  const { value: model, sample: load } = await measure(() => loadModel(options, () => {}));
  const memory = { before, loaded: peakBytes() };
  const { weights } = await model.engine.memory();
  const setLoras = await changeLoras(model, loras);
  const changed = peakBytes();
  await model.engine.close();
  const tiny = await loadModel({ ...options, ...TINY }, () => {});
  const tinySetLoras = await changeLoras(tiny, TINY.loras);
  await tiny.engine.close();
  return {
    versions: {
      'animatediff-native': packageVersion(),
      libtorch: libtorch.version,
      node: process.versions.node,
    },
    weights,
    memory: { ...memory, changed },
    load,
    setLoras,
    tinySetLoras,
  };
}

const job = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as LoadingJob;
writeFileSync(path.join(job.out, 'turn.json'), JSON.stringify(await turn(job)));
