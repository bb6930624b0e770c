/** `animatediff-native pull`: fetches the files of sources or configurations into the caches. */
import type { CommandModule } from 'yargs';
import type { ResolveOptions, SourceProgress } from '../../hub/resolve.ts';
import type { SourceInput } from '../../hub/source.ts';
import type { Context, GlobalFlags } from '../context.ts';
import { type Flags, yargsOptions } from '../flags.ts';
import { createReport, type Report } from '../report.ts';

export const PULL_FLAGS: Flags = {
  refresh: {
    describe: 'Ask whether a branch of the hub has moved; else what is in the cache is taken',
    kind: 'switch',
  },
};

interface PullFlags extends GlobalFlags {
  readonly sources?: readonly string[];
  readonly refresh?: boolean;
}

const PHASES: Readonly<Record<SourceProgress['phase'], string>> = {
  'look-up': 'look up',
  wait: 'wait for',
  download: 'download',
  verify: 'verify',
};

/** Draws the progress of one source after the other. */
function showProgress(report: Report): ResolveOptions['onProgress'] {
  let reported = '';
  return ({ phase, name, done, total }) => {
    const label = `${PHASES[phase]} ${name}`;
    if (phase === 'download' && total !== undefined)
      report.progress.update({ label, done, total, unit: 'bytes' });
    // A phase without a size has no bar, so its name is all that there is to say.
    else if (label !== reported) report.note(`${label} …`);
    reported = label;
  };
}

/** The sources that an argument stands for: itself, or those of a configuration. */
async function sourcesOf(argument: string, folder: string): Promise<readonly SourceInput[]> {
  const [{ isRemote }, { loadConfig }, { listLoadSources }] = await Promise.all([
    import('../../hub/source.ts'),
    import('../../config/load.ts'),
    import('../../hub/load-sources.ts'),
  ]);
  if (isRemote(argument) || !/\.ya?ml$/i.test(argument)) return [argument];
  return listLoadSources(await loadConfig(argument, folder));
}

async function pull(values: PullFlags, context: Context): Promise<void> {
  const { formatSource, parseSource } = await import('../../hub/source.ts');
  const report = createReport(context, values);
  const lists = [];
  for (const argument of values.sources ?? []) lists.push(await sourcesOf(argument, context.folder));
  // A wrong source is told before hours of downloads, and one that is named twice is fetched once.
  const sources = new Map(lists.flat().map((input) => [formatSource(parseSource(input)), input]));
  const files: { source: string; path: string }[] = [];
  try {
    for (const [source, input] of sources) {
      const path = await context.services.resolveSource(input, {
        folder: context.folder,
        refresh: values.refresh === true,
        signal: context.signal,
        onProgress: showProgress(report),
      });
      files.push({ source, path });
      report.line(path);
    }
    report.document({ files });
  } finally {
    report.progress.clear();
  }
}

/** The command for yargs. */
export function pullCommand(context: Context): CommandModule<GlobalFlags, PullFlags> {
  return {
    command: 'pull <sources..>',
    describe: 'Fetch model files into the cache; resumes, checks what it fetched, prints the paths',
    builder: (yargs) =>
      yargs
        .positional('sources', {
          describe:
            'hf:owner/repo[@revision][/file], civitai:VERSION, https://…#sha256=…, or a configuration',
          type: 'string',
          array: true,
        })
        .options(yargsOptions(PULL_FLAGS, 'Fetching:'))
        .example([
          ['$0 pull configs/toonyou.yaml', 'Everything that a configuration needs'],
          ['$0 pull hf:guoyww/animatediff/mm_sd_v15_v2.ckpt civitai:78775', 'A motion module and a model'],
        ]),
    handler: (values) => pull(values, context),
  };
}
