/** `animatediff-native demo`: the first animation, with the model that ships with the package. */
import path from 'node:path';
import type { CommandModule } from 'yargs';
import type { Config } from '../../config/schema.ts';
import { DEMO_CAMERAS, DEMO_STYLES, type DemoChoice } from '../../demo/choices.ts';
import { unknownWords, vocabularyText } from '../../demo/words.ts';
import type { Notice } from '../../events.ts';
import type { Context, GlobalFlags } from '../context.ts';
import type { Destination } from '../destination.ts';
import { type Flags, LIBTORCH_FLAG, MODEL_FLAGS, OUTPUT_FLAGS, yargsOptions } from '../flags.ts';
import type { Job } from '../jobs.ts';
import { createReport } from '../report.ts';
import type { FlagValues } from '../request.ts';

const MAKE_FLAGS: Flags = {
  style: { describe: 'neon is a personalised checkpoint, crayon a LoRA', choices: DEMO_STYLES },
  camera: { describe: 'A move of the camera, by a MotionLoRA', choices: DEMO_CAMERAS },
  seed: {
    describe: 'Another number, another clip; -1 draws one. Default: one that is fixed',
    path: ['seed'],
  },
};

const FILE_FLAGS: Flags = {
  out: {
    describe: 'File or folder; default samples/demo.gif, with what was asked for in its name',
    path: ['out'],
    kind: 'path',
    alias: 'o',
  },
  format: { describe: 'Default gif', path: ['format'], choices: OUTPUT_FLAGS.format?.choices },
};

const RUN_FLAGS: Flags = {
  device: { describe: 'auto, cpu, cuda or cuda:N; default cpu', path: MODEL_FLAGS.device?.path },
  ...LIBTORCH_FLAG,
};

export const DEMO_COMMAND_FLAGS: Flags = { ...MAKE_FLAGS, ...FILE_FLAGS, ...RUN_FLAGS };

/** One clip with the same prompt in all frames: the demo model is asked for no others. */
type DemoJob = Job & { readonly prompt: string };

interface DemoFlags extends GlobalFlags {
  readonly prompt?: readonly string[];
}

/** What is made: the prompt that was given, or the first one of the configuration. */
function planJob(config: Config, asked: string | undefined): DemoJob {
  const [first = ''] = asked === undefined ? [config.prompt ?? []].flat() : [asked];
  const prompt = typeof first === 'string' ? first : (Object.values(first)[0] ?? '');
  const [negativePrompt = ''] = [config.negativePrompt ?? []].flat();
  const [seed = -1] = [config.seed ?? []].flat();
  return { prompt, negativePrompt, seed };
}

/** The words of a prompt that the model cannot know, and those that it does. */
function wordNotices(prompt: string): Notice[] {
  const unknown = unknownWords(prompt);
  if (unknown.length === 0) return [];
  const message = `The demo model never saw: ${unknown.join(', ')}. It knows a small vocabulary:\n${vocabularyText()}`;
  return [{ code: 'demo-unknown-words', message }];
}

async function planFile(
  config: Config,
  { style, camera }: DemoChoice,
  asked: string | undefined,
  folder: string,
): Promise<Extract<Destination, { kind: 'file' }>> {
  const [{ clipName, planDestination }, { slug }, { requireWritable }] = await Promise.all([
    import('../destination.ts'),
    import('../../output/slug.ts'),
    import('../../output/write.ts'),
  ]);
  const destination = planDestination(config, 1, folder);
  const parts = ['demo', style, camera, asked && slug(asked)].filter((part) => part !== undefined);
  const file =
    destination.kind === 'file'
      ? destination.file
      : clipName(path.join(destination.folder, parts.join('-')), config.format, config.frames ?? 16);
  await requireWritable(file, file.endsWith(path.sep) ? 'folder' : 'file');
  return { kind: 'file', file };
}

async function demo(values: DemoFlags & FlagValues, context: Context): Promise<void> {
  const [{ applyFlags, oneValue, pathFlag }, { memorySentence }, { loadModel }, { runGenerate }] =
    await Promise.all([
      import('../request.ts'),
      import('../memory.ts'),
      import('../model.ts'),
      import('../run-generate.ts'),
    ]);
  const started = context.now().getTime();
  const report = createReport(context, values);
  const { folder } = context;
  const one = <T extends string>(name: string, choices: readonly T[]) =>
    values[name] === undefined ? undefined : choices.find((value) => value === oneValue(name, values[name]));
  const choice: DemoChoice = { style: one('style', DEMO_STYLES), camera: one('camera', DEMO_CAMERAS) };
  const asked = values.prompt && values.prompt.length > 0 ? values.prompt.join(' ') : undefined;
  const shipped = await context.services.demoConfig(choice);
  const config = applyFlags(shipped, DEMO_COMMAND_FLAGS, values, folder);
  const job = planJob(config, asked);
  const destination = await planFile(config, choice, asked, folder);
  const words = wordNotices(job.prompt);
  for (const { message } of words) report.note(message);
  const { pipeline, notices } = await loadModel(
    config,
    pathFlag('libtorch', values, folder),
    context,
    report,
  );
  try {
    // The time of the clip alone is not told, as that of the whole command is.
    const clips = { ...report, note: () => {} };
    const run = { config, jobs: [job], destination, grid: false, pipeline, context, report: clips };
    const result = await runGenerate(run, [...words, ...notices]);
    const seconds = (context.now().getTime() - started) / 1000;
    report.note(`“${job.prompt}” in ${seconds.toFixed(1)} s. ${memorySentence(result.memory)}`);
    report.document({ ...result, seconds });
  } finally {
    report.progress.clear();
    await pipeline.close();
  }
}

/** The command for yargs. */
export function demoCommand(context: Context): CommandModule<GlobalFlags, DemoFlags> {
  return {
    command: 'demo [prompt..]',
    describe: 'Animate a prompt with the small model that ships with this package',
    builder: (yargs) =>
      yargs
        .positional('prompt', {
          describe: 'What to show, in the words below',
          type: 'string',
          array: true,
        })
        .options(yargsOptions(MAKE_FLAGS, 'What to make:'))
        .options(yargsOptions(FILE_FLAGS, 'Files:'))
        .options(yargsOptions(RUN_FLAGS, 'Where it runs:'))
        .example([
          ['$0 demo', 'The first animation'],
          ['$0 demo "a green ring on a beige background" --style crayon --camera zoom-in', 'All at once'],
        ])
        .epilogue(`What the model knows:\n${vocabularyText()}`),
    handler: (values) => demo(values, context),
  };
}
