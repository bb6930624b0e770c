/**
 * The check at the real sizes, outside of CI: random weights in the layouts of SD 1.5 and of a v2 motion
 * module go through diffusers and through this package in turn; errors, times and peak memory are written to
 * bench/results/ and held against limits.
 *
 *   npm run check:full -- [--size 256] [--frames 16] [--steps 2] [--dtype float32,bfloat16] [--rounds N]
 *                         [--threads N] [--folder DIR] [--python PYTHON] [--patience SECONDS]
 *   npm run check:full -- --loading    loading with two LoRAs and changing them, see check-loading.mjs
 *
 * Sides take turns for N rounds, of which medians count: one, or three with --loading, whose times are short.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { main, ROOT, run, runNode, say } from '../run.mjs';
import { setup } from '../setup.mjs';
import { checkLoading } from './check-loading.mjs';
import { compare, difference, readFloats } from './compare.mjs';
import { requireAll, writeResult } from './hardware.mjs';
import { referencePython } from './python.mjs';

const OPTIONS = {
  size: { type: 'string', default: '256' },
  frames: { type: 'string', default: '16' },
  steps: { type: 'string', default: '2' },
  dtype: { type: 'string', default: 'float32,bfloat16' },
  rounds: { type: 'string' },
  threads: { type: 'string', default: String(os.availableParallelism()) },
  patience: { type: 'string', default: '30' },
  folder: { type: 'string' },
  python: { type: 'string' },
  loading: { type: 'boolean' },
};

const CLIP = {
  prompt: 'a paper boat on a pond, golden hour',
  negativePrompt: 'blurry, low quality',
  seed: '10788741199826055526',
  guidanceScale: 7.5,
};

/**
 * What must hold. Latents of a random UNet are large, so their error is relative to the largest of them; half
 * precision is only held against gross mistakes, since both sides round at every operator.
 */
const LIMITS = {
  float32: { pictures: 1e-4, latents: 1e-4, unet: 1e-4 },
  bfloat16: { pictures: 0.25, latents: 0.25, unet: 0.25 },
  float16: { pictures: 0.1, latents: 0.1, unet: 0.1 },
};
const ROUNDS = 1;
const LOADING_ROUNDS = 3;
const MAX_UNET_RATIO = 1;
const MAX_LOAD_PEAK = 1.2;

async function turn(side, job, python) {
  await mkdir(job.out, { recursive: true });
  const file = path.join(job.out, 'job.json');
  await writeFile(file, JSON.stringify(job));
  say(`${job.dtype}: ${side}`);
  const env = { ...process.env, OMP_NUM_THREADS: String(job.threads) };
  if (side === 'ours') await runNode('tsx/dist/cli.mjs', ['scripts/full-check/ours.ts', file], { env });
  else await run(python, ['scripts/full-check/reference.py', file], { env });
  const answer = JSON.parse(await readFile(path.join(job.out, 'turn.json'), 'utf8'));
  return { ...answer, out: job.out };
}

/** Makes the clip once more by the command line and compares its PNG frames with diffusers' pictures. */
async function commandLine(job, reference) {
  say(`${job.dtype}: animatediff-native generate`);
  const out = path.join(job.out, 'cli') + path.sep;
  await rm(out, { recursive: true, force: true });
  const flags = Object.entries({
    base: job.checkpoint,
    'motion-module': job.motionModule,
    dtype: job.dtype,
    device: 'cpu',
    prompt: job.prompt,
    'negative-prompt': job.negativePrompt,
    seed: job.seed,
    frames: job.frames,
    width: job.size,
    height: job.size,
    steps: job.steps,
    'guidance-scale': job.guidanceScale,
    threads: job.threads,
    format: 'png',
    out,
  }).flatMap(([name, value]) => [`--${name}`, String(value)]);
  await run(process.execPath, [
    path.join(ROOT, 'dist/cli/index.js'),
    'generate',
    ...flags,
    '--no-grid',
    '--quiet',
  ]);
  const found = (await readdir(out, { recursive: true })).filter((name) => /\d{4}\.png$/.test(name)).sort();
  const frames = await Promise.all(found.map((name) => sharp(path.join(out, name)).raw().toBuffer()));
  const pictures = readFloats(path.join(reference.out, 'pictures.f32'));
  return difference(
    Buffer.concat(frames),
    pictures.map((value) => Math.round(value * 255)),
  ).error;
}

function verdicts(dtype, { tokensEqual, errors, ours, ratios }, cliBytes) {
  const limit = LIMITS[dtype];
  return [
    ['token ids are equal', tokensEqual],
    [`pictures differ by at most ${limit.pictures}`, errors.pictures.error <= limit.pictures],
    [`latents differ by at most ${limit.latents} of the largest`, errors.latents.relative <= limit.latents],
    [`UNet differs by at most ${limit.unet} of the largest`, errors.unet.relative <= limit.unet],
    ['a UNet call takes no longer than diffusers', ratios.unetSeconds <= MAX_UNET_RATIO],
    [
      `loading takes at most ${MAX_LOAD_PEAK} times the weights`,
      ours.loadPeakBytes <= MAX_LOAD_PEAK * ours.weightBytes,
    ],
    ...(cliBytes === undefined
      ? []
      : [['frames of the command line differ by at most 1 of 255', cliBytes <= 1]]),
  ].map(([what, holds]) => ({ what, holds }));
}

function print(dtype, { ours, diffusers, ratios, errors }, checks) {
  const number = (value) => (value > 1e6 ? `${(value / 2 ** 30).toFixed(2)} GiB` : value.toFixed(2));
  console.log(`\n${dtype}: ours, diffusers, ratio`);
  for (const key of Object.keys(ours)) {
    console.log(
      `  ${key.padEnd(15)} ${number(ours[key])}  ${number(diffusers[key])}  ${ratios[key].toFixed(3)}`,
    );
  }
  for (const [name, { error, relative }] of Object.entries(errors)) {
    console.log(
      `  ${name.padEnd(15)} max abs error ${error.toExponential(2)}, relative ${relative.toExponential(2)}`,
    );
  }
  for (const { what, holds } of checks) console.log(`  ${holds ? 'ok ' : 'NOT'} ${what}`);
}

async function checkDtype(dtype, settings, python, folder) {
  const turns = { ours: [], diffusers: [] };
  for (let round = 0; round < settings.rounds; round += 1) {
    for (const side of ['ours', 'diffusers']) {
      const out = path.join(folder, `${dtype}-${side}-${round}`);
      turns[side].push(await turn(side, { ...settings.job, dtype, out }, python));
    }
  }
  const result = compare(turns.ours, turns.diffusers);
  const job = { ...settings.job, dtype, out: path.join(folder, dtype) };
  const cliBytes = dtype === 'float32' ? await commandLine(job, turns.diffusers.at(-1)) : undefined;
  const checks = verdicts(dtype, result, cliBytes);
  print(dtype, result, checks);
  return { dtype, ...result, cliBytes, checks, turns };
}

async function checkFull(values, folder) {
  await setup();
  const python = await referencePython(values.python);
  say(`writing random weights of the real sizes into ${folder} (3 GB)`);
  await mkdir(folder, { recursive: true });
  await runNode('tsx/dist/cli.mjs', ['scripts/full-check/write-model.ts', folder]);
  const [size, frames, steps, threads, patience] = ['size', 'frames', 'steps', 'threads', 'patience'].map(
    (name) => Number(values[name]),
  );
  const rounds = Number(values.rounds ?? (values.loading ? LOADING_ROUNDS : ROUNDS));
  if (values.loading) return await checkLoading({ rounds, threads, patience }, values.dtype, python, folder);
  const files = {
    checkpoint: path.join(folder, 'sd15.safetensors'),
    motionModule: path.join(folder, 'mm_sd_v15_v2.ckpt'),
  };
  const job = { ...files, ...CLIP, compat: 'original', size, frames, steps, threads, calls: 3, patience };
  const results = [];
  for (const dtype of values.dtype.split(',')) {
    results.push(await checkDtype(dtype, { job, rounds }, python, folder));
  }
  await writeResult('full-check', { job, results });
  requireAll(results.map(({ dtype, checks }) => [dtype, checks]));
}

await main(async () => {
  const { values } = parseArgs({ options: OPTIONS });
  const folder = values.folder ?? (await mkdtemp(path.join(os.tmpdir(), 'animatediff-full-')));
  try {
    await checkFull(values, path.resolve(folder));
  } finally {
    if (values.folder === undefined) await rm(folder, { recursive: true, force: true });
  }
});
