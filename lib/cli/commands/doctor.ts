/** `animatediff-native doctor`: what works on this machine, and what does not and why. */
import type { CommandModule } from 'yargs';
import type { Context, GlobalFlags } from '../context.ts';
import { EXIT } from '../exit.ts';
import { LIBTORCH_FLAG, yargsOptions } from '../flags.ts';
import { createReport } from '../report.ts';
import type { FlagValues } from '../request.ts';

export const DOCTOR_FLAGS = LIBTORCH_FLAG;

async function doctor(values: GlobalFlags & FlagValues, context: Context): Promise<void> {
  const { pathFlag } = await import('../request.ts');
  const report = createReport(context, values);
  const diagnosis = await context.services.diagnose({
    libtorch: pathFlag('libtorch', values, context.folder),
  });
  report.line(await context.services.formatDiagnosis(diagnosis));
  report.document(diagnosis);
  if (!diagnosis.ok) context.exitCode = EXIT.failure;
}

/** The command for yargs. */
export function doctorCommand(context: Context): CommandModule<GlobalFlags, GlobalFlags> {
  return {
    command: 'doctor',
    describe: 'Show platform, addon, LibTorch and devices, and why CUDA is not used if it is not',
    builder: (yargs) =>
      yargs.options(yargsOptions(DOCTOR_FLAGS, 'LibTorch:')).example([
        ['$0 doctor', 'One screen, for you and for bug reports; exits with 1 if clips cannot be made'],
        ['$0 doctor --json', 'The same as one JSON document'],
      ]),
    handler: (values) => doctor(values, context),
  };
}
