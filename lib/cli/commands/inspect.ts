/** `animatediff-native inspect`: what weight files are, from their headers. */
import path from 'node:path';
import type { CommandModule } from 'yargs';
import type { InspectReport } from '../../weights/identify.ts';
import type { Context, GlobalFlags } from '../context.ts';
import { EXIT } from '../exit.ts';
import { formatFailure, formatInspection } from '../inspection.ts';
import { createReport, type ErrorRecord, errorRecord } from '../report.ts';

interface InspectFlags extends GlobalFlags {
  readonly files?: readonly string[];
}

type Outcome = InspectReport | { readonly path: string; readonly error: ErrorRecord };

async function inspect(values: InspectFlags, context: Context): Promise<void> {
  const report = createReport(context, values);
  const outcomes: Outcome[] = [];
  for (const name of values.files ?? []) {
    context.signal.throwIfAborted();
    const file = path.resolve(context.folder, name);
    try {
      const found = await context.services.inspect(file);
      outcomes.push(found);
      report.line(formatInspection(found, name));
    } catch (error) {
      const record = errorRecord(error);
      outcomes.push({ path: file, error: record });
      report.line(formatFailure(record, name));
      context.exitCode = EXIT.failure;
    }
  }
  report.document({ files: outcomes });
}

/** The command for yargs. */
export function inspectCommand(context: Context): CommandModule<GlobalFlags, InspectFlags> {
  return {
    command: 'inspect <files..>',
    describe: 'Say what weight files are: kind, version, tensors, and what they can be used for',
    builder: (yargs) =>
      yargs
        .positional('files', { describe: 'Weight files or diffusers folders', type: 'string', array: true })
        .example([
          ['$0 inspect models/*', 'A few lines for each file'],
          ['$0 inspect mm_sd_v15_v2.ckpt --json', 'Everything that is known, for programs'],
        ]),
    handler: (values) => inspect(values, context),
  };
}
