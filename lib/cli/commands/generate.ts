/** `animatediff-native generate`: prompts to animations. */
import type { CommandModule } from 'yargs';
import type { Context, GlobalFlags } from '../context.ts';
import { GENERATE_FLAGS, MODEL_FLAGS, OUTPUT_FLAGS, yargsOptions } from '../flags.ts';
import { createReport } from '../report.ts';
import type { FlagValues } from '../request.ts';

export const GENERATE_COMMAND_FLAGS = { ...MODEL_FLAGS, ...GENERATE_FLAGS, ...OUTPUT_FLAGS };

async function generate(values: GlobalFlags & FlagValues, context: Context): Promise<void> {
  const [
    { need, pathFlag, readRequest },
    { planJobs },
    { planDestination },
    { loadModel },
    { runGenerate },
    { requireWritable },
  ] = await Promise.all([
    import('../request.ts'),
    import('../jobs.ts'),
    import('../destination.ts'),
    import('../model.ts'),
    import('../run-generate.ts'),
    import('../../output/write.ts'),
  ]);
  const report = createReport(context, values);
  const { folder } = context;
  const config = await readRequest(GENERATE_COMMAND_FLAGS, values, folder);
  need(config, 'prompt');
  const jobs = planJobs(config);
  const configFile = typeof values.config === 'string' ? values.config : undefined;
  const destination = planDestination(config, jobs.length, folder, configFile);
  // Found out now and not after hours of sampling.
  await requireWritable(
    destination.kind === 'file' ? destination.file : destination.folder,
    destination.kind,
  );
  const { pipeline, notices } = await loadModel(
    config,
    pathFlag('libtorch', values, folder),
    context,
    report,
  );
  try {
    const grid = values['no-grid'] !== true;
    report.document(
      await runGenerate({ config, jobs, destination, grid, pipeline, context, report }, notices),
    );
  } finally {
    report.progress.clear();
    await pipeline.close();
  }
}

/** The command for yargs. */
export function generateCommand(context: Context): CommandModule<GlobalFlags, GlobalFlags> {
  return {
    command: 'generate [config]',
    describe: 'Animate prompts, from flags, from a YAML configuration or from both',
    builder: (yargs) =>
      yargs
        .positional('config', { describe: 'YAML configuration; flags win over it', type: 'string' })
        .options(yargsOptions(MODEL_FLAGS, 'Model:'))
        .options(yargsOptions(GENERATE_FLAGS, 'What to make:'))
        .options(yargsOptions(OUTPUT_FLAGS, 'Files:'))
        .example([
          [
            '$0 generate --base sd15.safetensors --motion-module mm_sd_v15_v2.ckpt -p "a cat in the rain" -o cat.gif',
            'One clip into one file',
          ],
          ['$0 generate configs/example.yaml', 'All clips of a configuration and their grid into samples/'],
          [
            '$0 generate configs/example.yaml --steps 10 --seed -1',
            'The same, with other steps and new seeds',
          ],
          [
            '$0 generate configs/example.yaml -p "a cat" -p "a dog" -n blurry --seed 1 --seed 2',
            'Clip i: entry i of each',
          ],
        ]),
    handler: (values) => generate(values, context),
  };
}
