/**
 * Makes the clips of one run and writes them, their grid and the configuration that was used, in the
 * folders and with the names of mmagic's script.
 */
import path from 'node:path';
import type { PipelineMemory } from '../animatediff.ts';
import { formatConfig } from '../config/format.ts';
import { type Config, GENERATE_KEYS, pick } from '../config/schema.ts';
import type { GenerateProgress, Notice } from '../events.ts';
import type { ClipParameters, Prompt } from '../options.ts';
import { slug } from '../output/slug.ts';
import { writeFile } from '../output/write.ts';
import type { Context } from './context.ts';
import { checkSavable, clipName, createRunFolder, type Destination, removeIfEmpty } from './destination.ts';
import type { Job } from './jobs.ts';
import { memorySentence } from './memory.ts';
import { formatDuration, type ProgressEvent } from './progress.ts';
import type { Report } from './report.ts';
import type { Pipeline, SavableClip } from './services.ts';

/** A file that was written. */
export interface Written {
  readonly path: string;
  readonly bytes: number;
}

/** A clip that was written, with everything that made it. */
export interface SavedClip extends Written {
  readonly parameters: ClipParameters;
}

/** The files of a run; a run to one named file has neither grid nor configuration. */
interface Files {
  readonly clips: readonly SavedClip[];
  readonly grid?: Written;
  /** Path of the configuration with the seeds that were used. */
  readonly config?: string;
}

/** What `generate --json` prints. Paths are absolute. */
export interface GenerateResult extends Files {
  readonly pipeline: Pipeline['info'];
  readonly notices: readonly Notice[];
  readonly seconds: number;
  /** Bytes. */
  readonly memory: PipelineMemory;
}

/** Everything that a run needs. */
export interface Run {
  readonly config: Config;
  readonly jobs: readonly Job[];
  readonly destination: Destination;
  readonly grid: boolean;
  readonly pipeline: Pipeline;
  readonly context: Context;
  readonly report: Report;
}

const UNITS: Readonly<Record<GenerateProgress['phase'], ProgressEvent['unit']>> = {
  text: 'steps',
  sample: 'steps',
  decode: 'frames',
};

async function makeClip(
  { config, jobs, pipeline, context, report }: Run,
  index: number,
): Promise<SavableClip> {
  const job = jobs[index] as Job;
  const which = jobs.length > 1 ? `${index + 1}/${jobs.length} ` : '';
  const clip = await pipeline.generate({
    ...pick(config, GENERATE_KEYS),
    ...job,
    signal: context.signal,
    onProgress: ({ phase, step, steps }) => {
      report.progress.update({ label: `${which}${phase}`, done: step, total: steps, unit: UNITS[phase] });
    },
  });
  report.progress.clear();
  return clip;
}

/** A path as it is printed: short where it lies below the working folder. */
function printed(file: string, { folder }: Context): string {
  const relative = path.relative(folder, file);
  return relative.startsWith('..') || path.isAbsolute(relative) ? file : relative;
}

async function saveClip(
  { config, context, report }: Run,
  clip: SavableClip,
  file: string,
): Promise<SavedClip> {
  const { fps, loop } = config;
  const { path: saved, bytes } = await clip.save(file, { fps, loop });
  report.line(printed(saved, context));
  return { path: saved, bytes, parameters: clip.parameters };
}

async function saveGrid(
  { config, context, report }: Run,
  clips: readonly SavableClip[],
  folder: string,
): Promise<Written> {
  const { fps, loop, columns, format } = config;
  const frames = clips[0]?.frameCount ?? 1;
  // Frames as PNG are a folder, and `sample/` holds the clips already.
  const stem = format === 'png' && frames > 1 ? 'sample-grid' : 'sample';
  const file = clipName(path.join(folder, stem), format, frames);
  const { path: saved, bytes } = await context.services.saveGrid(clips, file, { fps, loop, columns });
  report.line(printed(saved, context));
  return { path: saved, bytes };
}

/** The configuration that makes the same clips again: what was chosen by default or drawn is written out. */
function resolvedConfig({ config, jobs, pipeline }: Run, made: readonly ClipParameters[]): Config {
  const { out: _, ...asked } = config;
  const [first] = made;
  return {
    ...asked,
    dtype: pipeline.info.dtype,
    compat: pipeline.info.compat,
    prompt: jobs.map((job) => job.prompt),
    negativePrompt: jobs.map((job) => job.negativePrompt),
    seed: made.map(({ seed }) => BigInt(seed)),
    frames: first?.frames,
    width: first?.width,
    height: first?.height,
    steps: first?.steps,
    guidanceScale: first?.guidanceScale,
  };
}

async function writeConfig(run: Run, made: readonly ClipParameters[], folder: string): Promise<string> {
  const { pipeline, context, report } = run;
  const software = made[0]?.software ?? 'animatediff-native';
  const comment = `Written by ${software} on ${context.now().toISOString()}, computed on ${pipeline.info.device}.`;
  const file = path.join(folder, 'config.yaml');
  await writeFile(file, Buffer.from(formatConfig(resolvedConfig(run, made), comment)));
  report.line(printed(file, context));
  return file;
}

/** What a file is named after: the text of the first key frame. */
function firstText(prompt: Prompt): string {
  return typeof prompt === 'string' ? prompt : (Object.values(prompt)[0] ?? '');
}

/** All clips into the folder of the run: `sample/<index>-<slug>.gif`, `sample.gif`, `config.yaml`. */
async function runInFolder(run: Run, folder: string): Promise<Files> {
  const { config, jobs } = run;
  const forGrid: SavableClip[] = [];
  const saved: SavedClip[] = [];
  for (const [index, job] of jobs.entries()) {
    const clip = await makeClip(run, index);
    const stem = path.join(folder, 'sample', `${index}-${slug(firstText(job.prompt))}`);
    saved.push(await saveClip(run, clip, clipName(stem, config.format, clip.frameCount)));
    if (run.grid) forGrid.push(clip);
  }
  const grid = run.grid ? await saveGrid(run, forGrid, folder) : undefined;
  const made = saved.map(({ parameters }) => parameters);
  return { clips: saved, grid, config: await writeConfig(run, made, folder) };
}

async function runToFile(run: Run, file: string): Promise<Files> {
  return { clips: [await saveClip(run, await makeClip(run, 0), file)] };
}

/** Runs all jobs. Clips that were finished before an error or an interruption stay. */
export async function runGenerate(run: Run, notices: readonly Notice[]): Promise<GenerateResult> {
  const { config, destination, context, report, pipeline } = run;
  checkSavable(destination, config, config.frames ?? (pipeline.info.motion ? 16 : 1));
  const started = context.now().getTime();
  const finish = async (files: Files): Promise<GenerateResult> => {
    const seconds = (context.now().getTime() - started) / 1000;
    const count = files.clips.length;
    const memory = await pipeline.memory();
    const clips = `${count} clip${count === 1 ? '' : 's'} in ${formatDuration(seconds)}.`;
    report.note(`${clips} ${memorySentence(memory)}`);
    return { ...files, pipeline: pipeline.info, notices, seconds, memory };
  };
  if (destination.kind === 'file') return await finish(await runToFile(run, destination.file));
  const folder = await createRunFolder(destination.folder, destination.name, context.now());
  try {
    return await finish(await runInFolder(run, folder));
  } finally {
    await removeIfEmpty(folder);
  }
}
