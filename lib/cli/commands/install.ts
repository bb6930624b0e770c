/** `animatediff-native install`: fetches LibTorch into the cache. */
import type { CommandModule } from 'yargs';
import type { InstallPlan, InstallProgress, InstallResult } from '../../libtorch/install.ts';
import type { Context, GlobalFlags } from '../context.ts';
import { type Flags, yargsOptions } from '../flags.ts';
import { formatBytes } from '../progress.ts';
import { createReport } from '../report.ts';

const DEVICES = ['cpu', 'cuda'] as const;

export const INSTALL_FLAGS: Flags = {
  device: { describe: 'Which build of LibTorch; cuda also runs on the CPU. Default cpu', choices: DEVICES },
  'dry-run': { describe: 'Print what would be fetched and how large it is', kind: 'switch' },
};

interface InstallFlags extends GlobalFlags {
  readonly device?: (typeof DEVICES)[number];
  readonly 'dry-run'?: boolean;
}

const PHASES: Readonly<Record<InstallProgress['phase'], string>> = {
  resolve: 'look up',
  wait: 'wait for',
  download: 'download',
  verify: 'verify',
  unpack: 'unpack',
};

function formatPlan(plan: InstallPlan): string {
  const size = (bytes: number | undefined) => (bytes === undefined ? 'unknown size' : formatBytes(bytes));
  const rows = plan.artefacts.map(
    ({ name, bytes, url }) => `  ${size(bytes).padStart(12)}  ${name}\n${' '.repeat(16)}${url}`,
  );
  const state = plan.installed ? 'is installed already' : 'would be installed';
  return [
    `LibTorch ${plan.version} for ${plan.device} ${state} in ${plan.folder}`,
    ...rows,
    `  ${size(plan.bytes).padStart(12)}  in total`,
    ...plan.notes.map((note) => `note: ${note}`),
  ].join('\n');
}

function formatResult({ outcome, version, device, folder, plan }: InstallResult): string {
  if (outcome === 'planned' && plan) return formatPlan(plan);
  const state = outcome === 'present' ? 'is installed already' : 'was installed';
  return `LibTorch ${version} for ${device} ${state} in ${folder}`;
}

async function install(values: InstallFlags, context: Context): Promise<void> {
  const { oneValue } = await import('../request.ts');
  const asked = values.device === undefined ? 'cpu' : oneValue('device', values.device);
  const report = createReport(context, values);
  let reported = '';
  try {
    const result = await context.services.install({
      device: DEVICES.find((device) => device === asked),
      dryRun: values['dry-run'] === true,
      signal: context.signal,
      onProgress: ({ phase, name, done, total }) => {
        const label = `${PHASES[phase]} ${name}`;
        // A phase without a size has no bar, so its name is all that there is to say.
        if (total !== undefined) report.progress.update({ label, done, total, unit: 'bytes' });
        else if (label !== reported) report.note(`${label} …`);
        reported = label;
      },
    });
    report.progress.clear();
    report.line(formatResult(result));
    report.document(result);
  } finally {
    report.progress.clear();
  }
}

/** The command for yargs. */
export function installCommand(context: Context): CommandModule<GlobalFlags, InstallFlags> {
  return {
    command: 'install',
    describe: 'Fetch LibTorch into the cache; resumes, and checks what it fetched',
    builder: (yargs) =>
      yargs.options(yargsOptions(INSTALL_FLAGS, 'LibTorch:')).example([
        ['$0 install', 'LibTorch for the CPU'],
        ['$0 install --device cuda --dry-run', 'What the CUDA build would fetch'],
      ]),
    handler: (values) => install(values, context),
  };
}
