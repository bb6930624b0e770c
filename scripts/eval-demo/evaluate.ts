/** The evaluation of the demo model; eval-demo.mjs says how it is called. */
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import os from 'node:os';
import process from 'node:process';
import { UsageError } from '../../bench/usage.ts';
import type { AnimateDiff, PipelineInfo } from '../../lib/index.ts';
import type { RgbFrames } from '../../lib/output/frames.ts';
import { software } from '../../lib/package-info.ts';
import { caption, selectTasks, type Task } from './captions.ts';
import { type Flags, readFlags } from './flags.ts';
import { judge } from './judge/judge.ts';
import { BOUNDS } from './judge/smoothness.ts';
import { type Model, openModel, readModel, withMotionScale } from './model.ts';
import { tableHead, tableRow } from './report.ts';
import { sampleClips, sampleWithoutMotion } from './sampling.ts';
import { count, mark, missed, type Scores, shuffled } from './score.ts';
import type { Criterion, EvaluationSet, Goals } from './sets.ts';
import { type JudgedClip, writeSheets } from './sheets.ts';

/** Clips that are made without the motion module. */
const CONTROL_CLIPS = 32;

interface Row {
  readonly name: string;
  readonly clips: number;
  readonly scores: Scores;
  readonly goals?: Goals;
  readonly missed?: readonly Criterion[];
  /** Of sampling and decoding. */
  readonly secondsPerClip?: number;
}

interface SetResult {
  readonly set: string;
  readonly settings: Model['settings'];
  /** Without the folder of LibTorch, which is this machine's alone. */
  readonly info: Omit<PipelineInfo, 'libtorch'> & { readonly libtorch: string };
  readonly rows: readonly Row[];
  readonly clips: readonly unknown[];
}

/** Judges clips as they are made. */
async function judgeAll(
  clips: AsyncIterable<RgbFrames>,
  tasks: readonly Task[],
  { style, camera }: EvaluationSet,
): Promise<{ judged: JudgedClip[]; seconds: number }> {
  const judged: JudgedClip[] = [];
  let [sampling, mark0] = [0, performance.now()];
  for await (const clip of clips) {
    sampling += performance.now() - mark0;
    const task = tasks[judged.length] as Task;
    const expected = { ...task, style, camera };
    const verdict = judge(clip);
    judged.push({ clip, task, expected, verdict, marks: mark(verdict, expected) });
    if (process.stderr.isTTY) process.stderr.write(`\r${judged.length} of ${tasks.length} clips`);
    mark0 = performance.now();
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  return { judged, seconds: sampling / 1000 };
}

async function withPipe<T>(model: Model, body: (pipe: AnimateDiff) => Promise<T>): Promise<T> {
  const pipe = await openModel(model);
  try {
    return await body(pipe);
  } finally {
    await pipe.close();
  }
}

function print(row: Row): Row {
  console.log(tableRow(row.name, row.scores, row.goals));
  return row;
}

/** The same verdicts against other clips' captions. */
function shuffledControl(set: EvaluationSet, judged: readonly JudgedClip[]): Row {
  const others = shuffled(judged.map(({ expected }) => expected));
  const scores = count(judged.map(({ verdict }, i) => mark(verdict, others[i] as (typeof others)[number])));
  return { name: `${set.name}, captions shuffled`, clips: judged.length, scores };
}

/** The same captions without the motion module. */
async function motionControl(set: EvaluationSet, model: Model, tasks: readonly Task[], flags: Flags) {
  const { motionModule: _module, loras: _loras, ...load } = model.load;
  const few = tasks.slice(0, CONTROL_CLIPS);
  const { judged } = await withPipe({ ...model, load }, (pipe) =>
    judgeAll(sampleWithoutMotion(pipe, model, few), few, set),
  );
  const name = `${set.name}, motion module off`;
  if (flags.sheets !== undefined) await writeSheets(flags.sheets, `${set.name}-motion-off`, judged);
  return { name, clips: judged.length, scores: count(judged.map(({ marks }) => marks)) };
}

async function modelOf(set: EvaluationSet, { folder, overrides, motionScale }: Flags): Promise<Model> {
  const shipped = await readModel(set.config, folder);
  const model = { ...shipped, settings: { ...shipped.settings, ...overrides } };
  return motionScale === undefined ? model : withMotionScale(model, motionScale);
}

async function evaluateSet(set: EvaluationSet, flags: Flags): Promise<SetResult> {
  const model = await modelOf(set, flags);
  const tasks = selectTasks(flags.clips ?? set.clips, set.backgrounds, flags.seed);
  const { judged, seconds, info } = await withPipe(model, async (pipe) => ({
    ...(await judgeAll(sampleClips(pipe, model, tasks, flags.batch), tasks, set)),
    info: { ...pipe.info, libtorch: pipe.info.libtorch.version },
  }));
  const scores = count(judged.map(({ marks }) => marks));
  const { goals } = set;
  const rows: Row[] = [
    print({
      name: set.name,
      clips: judged.length,
      scores,
      goals,
      missed: missed(scores, goals),
      secondsPerClip: seconds / judged.length,
    }),
    print(shuffledControl(set, judged)),
  ];
  if (set.name === 'base') rows.push(print(await motionControl(set, model, tasks, flags)));
  if (flags.sheets !== undefined) await writeSheets(flags.sheets, set.name, judged);
  const clips = judged.map(({ task, verdict, marks }) => ({
    caption: caption(task),
    seed: task.seed,
    verdict,
    wrong: Object.entries(marks).flatMap(([criterion, right]) => (right === false ? [criterion] : [])),
  }));
  return { set: set.name, settings: model.settings, info, rows, clips };
}

function machine() {
  const commit = () => execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  return {
    date: new Date().toISOString().slice(0, 10),
    software: software(),
    commit: process.env.GITHUB_SHA ?? commit(),
    node: process.version,
    cpu: os.cpus()[0]?.model.trim(),
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    kernel: os.release(),
  };
}

async function evaluate(args: readonly string[]): Promise<void> {
  const flags = readFlags(args);
  const started = performance.now();
  const results: SetResult[] = [];
  console.log(tableHead());
  for (const set of flags.sets) results.push(await evaluateSet(set, flags));
  const seconds = (performance.now() - started) / 1000;
  console.log(`\n${seconds.toFixed(0)} s`);
  if (flags.json !== undefined) {
    const document = { ...machine(), seconds, smoothnessBounds: BOUNDS, results };
    await writeFile(flags.json, `${JSON.stringify(document, undefined, 1)}\n`);
  }
  if (results.some(({ rows }) => rows.some((row) => (row.missed ?? []).length > 0))) process.exitCode = 1;
}

try {
  await evaluate(process.argv.slice(2));
} catch (error) {
  const known = error instanceof UsageError || (error as Error).name === 'AnimateDiffError';
  console.error(`error: ${known ? (error as Error).message : ((error as Error).stack ?? error)}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
