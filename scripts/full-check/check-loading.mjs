/**
 * Loading at the real sizes: an SD 1.5 checkpoint in float16, a v2 motion module and two LoRAs of rank 32 and 64, from
 * a warm page cache, by this package and by diffusers in turn; then changes of the LoRAs, there and on the demo model.
 * With one thread, CPU seconds are what the wall clock would show on a machine that nobody else uses: they are held
 * against the limits where others took part of the CPU.
 */
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { finished } from 'node:stream/promises';
import { run, runNode, say } from '../run.mjs';
import { median } from './compare.mjs';
import { requireAll, writeResult } from './hardware.mjs';

/** Part of the machine that others may take before times of the wall clock are worth nothing, as in meter.ts. */
const QUIET = 0.05;

const MAX_LOAD_RATIO = 0.5;
const MAX_LOAD_PEAK = 1.2;
const MAX_SET_LORAS = 3;
const MAX_TINY_SET_LORAS = 1;

/** Reads files to their end and has what was written reach the disk, so that nobody waits for either. */
async function warm(files) {
  for (const file of files) {
    const handle = await open(file, 'r+');
    await handle.sync();
    await handle.close();
    await finished(createReadStream(file, { highWaterMark: 4 << 20 }).resume());
  }
}

async function turn(side, job, python) {
  await mkdir(job.out, { recursive: true });
  const file = path.join(job.out, 'job.json');
  await writeFile(file, JSON.stringify(job));
  await warm([job.checkpoint, job.motionModule, ...job.loras.map((lora) => lora.path)]);
  say(`${job.dtype}: ${side} loads`);
  const env = { ...process.env, OMP_NUM_THREADS: String(job.threads) };
  if (side === 'ours') await runNode('tsx/dist/cli.mjs', ['scripts/full-check/load-ours.ts', file], { env });
  else await run(python, ['scripts/full-check/load_reference.py', file], { env });
  return JSON.parse(await readFile(path.join(job.out, 'turn.json'), 'utf8'));
}

/** Longest of the changes, each the median over all turns. */
function slowest(turns, key, clock) {
  const kinds = Object.keys(turns[0][key]);
  return Math.max(...kinds.map((kind) => median(turns.map((turn) => turn[key][kind][clock]))));
}

/** Times by one clock: `seconds` of the wall, or `cpu` seconds. */
function times(ours, theirs, clock) {
  const load = median(ours.map((turn) => turn.load[clock]));
  const diffusersLoad = median(theirs.map((turn) => turn.load[clock]));
  return {
    load,
    diffusersLoad,
    loadRatio: load / diffusersLoad,
    diffusersFuse: median(theirs.map((turn) => turn.fuse[clock])),
    setLoras: slowest(ours, 'setLoras', clock),
    tinySetLoras: slowest(ours, 'tinySetLoras', clock),
  };
}

function summary(ours, theirs, threads) {
  const peak = ({ memory, weights }) => (memory.loaded - memory.before) / weights;
  const foreign = Math.max(...[...ours, ...theirs].map(({ load }) => load.foreign));
  return {
    wall: times(ours, theirs, 'seconds'),
    cpu: times(ours, theirs, 'cpu'),
    held: threads === 1 && foreign > QUIET ? 'cpu' : 'wall',
    foreign,
    peakPerWeights: Math.max(...ours.map(peak)),
    diffusersPeakPerWeights: Math.max(...theirs.map(peak)),
  };
}

function verdicts(found) {
  const { loadRatio, setLoras, tinySetLoras } = found[found.held];
  return [
    [`loading takes at most ${MAX_LOAD_RATIO} of diffusers' time`, loadRatio <= MAX_LOAD_RATIO],
    [`loading takes at most ${MAX_LOAD_PEAK} times the weights`, found.peakPerWeights <= MAX_LOAD_PEAK],
    [`changing LoRAs takes less than ${MAX_SET_LORAS} s`, setLoras < MAX_SET_LORAS],
    [`on the demo model it takes less than ${MAX_TINY_SET_LORAS} s`, tinySetLoras < MAX_TINY_SET_LORAS],
  ].map(([what, holds]) => ({ what, holds }));
}

async function checkDtype(dtype, { rounds, ...settings }, python, folder) {
  const turns = { ours: [], diffusers: [] };
  for (let round = 0; round < rounds; round += 1) {
    // A virtual machine gets memory from its host when it is first touched, which only the first turn waits for:
    // diffusers', which takes more. After that the sides begin in turn.
    for (const side of round % 2 === 0 ? ['diffusers', 'ours'] : ['ours', 'diffusers']) {
      const out = path.join(folder, `loading-${dtype}-${side}-${round}`);
      turns[side].push(await turn(side, { ...settings, dtype, out }, python));
    }
  }
  const found = summary(turns.ours, turns.diffusers, settings.threads);
  const checks = verdicts(found);
  console.log(`\n${dtype}`);
  console.log(
    JSON.stringify(found, (_, value) => (typeof value === 'number' ? Number(value.toFixed(3)) : value), 2),
  );
  for (const { what, holds } of checks) console.log(`  ${holds ? 'ok ' : 'NOT'} ${what}`);
  return { dtype, ...found, checks, turns };
}

/** Writes `bench/results/loading-*.json`. `folder` has the model already. */
export async function checkLoading(settings, dtypes, python, folder) {
  await runNode('tsx/dist/cli.mjs', ['scripts/full-check/write-loras.ts', folder]);
  const job = {
    ...settings,
    compat: 'original',
    checkpoint: path.join(folder, 'sd15.safetensors'),
    motionModule: path.join(folder, 'mm_sd_v15_v2.ckpt'),
    loras: [
      { path: path.join(folder, 'style_lora.safetensors'), scale: 0.8 },
      { path: path.join(folder, 'character_lora.safetensors'), scale: 0.6 },
    ],
  };
  const results = [];
  for (const dtype of dtypes.split(',')) results.push(await checkDtype(dtype, job, python, folder));
  await writeResult('loading', { job, results });
  requireAll(results.map(({ dtype, checks }) => [dtype, checks]));
}
