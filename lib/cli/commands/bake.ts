/** `animatediff-native bake`: a model and its motion module in one file for deployment and for other tools. */
import type { CommandModule } from 'yargs';
import { BAKE_LAYOUTS, type BakeLayout } from '../../options.ts';
import type { Context, GlobalFlags } from '../context.ts';
import { type Flags, MODEL_FLAGS, yargsOptions } from '../flags.ts';
import { createReport } from '../report.ts';
import type { FlagValues } from '../request.ts';

const BAKED_MODEL_FLAGS: Flags = {
  ...MODEL_FLAGS,
  dtype: {
    ...MODEL_FLAGS.dtype,
    describe: 'Of the weights that are written; default float32',
  },
};

const BAKE_FLAGS: Flags = {
  out: { describe: 'File to write, such as model.pt or model.safetensors', kind: 'path', alias: 'o' },
  layout: {
    describe: 'Default: torchscript for .pt, ldm for .safetensors',
    choices: BAKE_LAYOUTS,
  },
};

export const BAKE_COMMAND_FLAGS = { ...BAKED_MODEL_FLAGS, ...BAKE_FLAGS };

async function bake(values: GlobalFlags & FlagValues, context: Context): Promise<void> {
  const [
    { need, pathFlag, readRequest },
    { loadModel },
    { AnimateDiffError, invalidArgument },
    { requireWritable },
    { bakeLayout },
  ] = await Promise.all([
    import('../request.ts'),
    import('../model.ts'),
    import('../../errors.ts'),
    import('../../output/write.ts'),
    import('../../bake.ts'),
  ]);
  const report = createReport(context, values);
  const { folder } = context;
  const config = await readRequest(MODEL_FLAGS, values, folder);
  need(config, 'base');
  const out = pathFlag('out', values, folder);
  if (out === undefined) {
    throw new AnimateDiffError('ERR_INVALID_ARGUMENT', 'Nothing says where to write. Give `--out model.pt`.');
  }
  if (!/\.(pt|safetensors)$/.test(out)) {
    throw invalidArgument('--out', 'a file name that ends in .pt or .safetensors', out);
  }
  const layout = bakeLayout(out, values.layout as BakeLayout | undefined);
  await requireWritable(out, 'file');
  const { dtype = 'auto' } = config;
  const { pipeline, notices } = await loadModel(
    // What is fast here may be too coarse elsewhere.
    { ...config, dtype: dtype === 'auto' ? 'float32' : dtype },
    pathFlag('libtorch', values, folder),
    context,
    report,
  );
  try {
    await pipeline.bake(out, { layout });
    report.line(out);
    report.document({ path: out, layout, pipeline: pipeline.info, notices });
  } finally {
    await pipeline.close();
  }
}

/** The command for yargs. */
export function bakeCommand(context: Context): CommandModule<GlobalFlags, GlobalFlags> {
  return {
    command: 'bake [config]',
    describe: 'Write base, checkpoint, VAE, LoRAs and motion module as one self-contained file',
    builder: (yargs) =>
      yargs
        .positional('config', { describe: 'YAML configuration, of which the model is used', type: 'string' })
        .options(yargsOptions(BAKED_MODEL_FLAGS, 'Model:'))
        .options(yargsOptions(BAKE_FLAGS, 'Files:'))
        .example([
          ['$0 bake --base sd15.safetensors --motion-module mm_sd_v15_v2.ckpt --out cat.pt', 'Bake a model'],
          ['$0 generate --base cat.pt -p "a cat in the rain"', 'Use it: it needs no other file'],
          ['$0 bake --base sd15.safetensors --lora TUSUN.safetensors --out a.safetensors', 'For other tools'],
        ]),
    handler: (values) => bake(values, context),
  };
}
