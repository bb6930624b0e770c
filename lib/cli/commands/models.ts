/** `animatediff-native models`: what is in the caches, and room again. */
import type { CommandModule } from 'yargs';
import type { CachedModel } from '../../hub/list.ts';
import type { RemovedModel } from '../../hub/remove.ts';
import type { Context, GlobalFlags } from '../context.ts';
import { type Flags, yargsOptions } from '../flags.ts';
import { formatBytes } from '../progress.ts';
import { createReport } from '../report.ts';

export const MODELS_FLAGS: Flags = {
  all: { describe: 'With rm: everything that came from elsewhere than the Hugging Face hub', kind: 'switch' },
};

const ACTIONS = ['list', 'rm'] as const;

interface ModelsFlags extends GlobalFlags {
  readonly action?: (typeof ACTIONS)[number];
  readonly sources?: readonly string[];
  readonly all?: boolean;
}

function formatModel({ source, path, bytes }: CachedModel | RemovedModel): string {
  return `${formatBytes(bytes).padStart(8)}  ${source}\n${' '.repeat(10)}${path}`;
}

const sumOf = (models: readonly { readonly bytes: number }[]): number =>
  models.reduce((sum, { bytes }) => sum + bytes, 0);

async function list(values: ModelsFlags, context: Context): Promise<void> {
  const report = createReport(context, values);
  const models = await context.services.listModels();
  for (const model of models) report.line(formatModel(model));
  if (models.length === 0) report.note('The caches hold no models. `animatediff-native pull` fetches some.');
  report.document({ models });
}

async function remove(values: ModelsFlags, context: Context): Promise<void> {
  const { invalidArgument } = await import('../../errors.ts');
  const sources = values.sources ?? [];
  if (values.all === true ? sources.length > 0 : sources.length === 0)
    throw invalidArgument('models rm', 'sources, or --all alone', sources.length === 0 ? 'neither' : 'both');
  const report = createReport(context, values);
  const removed: RemovedModel[] = [];
  const note = (model: RemovedModel) => {
    removed.push(model);
    report.line(formatModel(model));
  };
  if (values.all === true) {
    for (const model of await context.services.removeAllModels()) note(model);
    report.note('The cache of the Hugging Face hub is shared with other programs: name what may go from it.');
  }
  for (const source of sources) note(await context.services.removeModel(source));
  const freed = sumOf(removed);
  report.line(`${formatBytes(freed).padStart(8)}  freed`);
  report.document({ removed, freed });
}

/** The command for yargs. */
export function modelsCommand(context: Context): CommandModule<GlobalFlags, ModelsFlags> {
  return {
    command: 'models [action] [sources..]',
    describe: 'Say what the caches hold (list), or remove some of it (rm)',
    builder: (yargs) =>
      yargs
        .positional('action', {
          describe: 'list: source, size and path; rm: remove, without asking',
          choices: ACTIONS,
          default: 'list' as const,
        })
        .positional('sources', { describe: 'With rm: as list prints them', type: 'string', array: true })
        .options(yargsOptions(MODELS_FLAGS, 'Removing:'))
        .example([
          ['$0 models list', 'What is there, with sizes'],
          ['$0 models rm civitai:78775 hf:guoyww/animatediff', 'Remove two of them'],
          ['$0 models rm --all', 'Remove all that this program alone uses'],
        ]),
    handler: (values) => (values.action === 'rm' ? remove(values, context) : list(values, context)),
  };
}
