/**
 * Where a command's words go: results to stdout, as text or as one JSON document, and everything else to
 * stderr.
 */
import { AnimateDiffError, type ErrorDetails } from '../errors.ts';
import { redacted } from '../redact.ts';
import type { Context, GlobalFlags } from './context.ts';
import { Interruption } from './exit.ts';
import { createProgress, type Progress, streamStyle } from './progress.ts';

export interface Report {
  /** A line of the result; silent with `--json`. */
  line(text: string): void;
  /** The whole result; silent without `--json`. */
  document(value: unknown): void;
  /** Something worth knowing on stderr; silent with `--quiet`. */
  note(text: string): void;
  /** A display on stderr; does nothing with `--quiet`. */
  readonly progress: Progress;
}

const PAINT = { error: '\x1b[31m', note: '\x1b[33m', reset: '\x1b[0m' } as const;

const SILENT: Progress = { update: () => {}, clear: () => {} };

/** The report of one run of a command. */
export function createReport(context: Context, flags: GlobalFlags): Report {
  const { stdout, stderr } = context;
  const style = streamStyle(stderr, context.environment);
  const progress = flags.quiet
    ? SILENT
    : createProgress({ stream: stderr, ...style, now: () => context.now().getTime() });
  return {
    line: (text) => {
      if (flags.json) return;
      progress.clear();
      stdout.write(`${redacted(text)}\n`);
    },
    document: (value) => {
      if (flags.json) stdout.write(`${redacted(JSON.stringify(value, null, 2))}\n`);
    },
    note: (text) => {
      if (flags.quiet) return;
      progress.clear();
      stderr.write(`${style.color ? `${PAINT.note}note:${PAINT.reset}` : 'note:'} ${redacted(text)}\n`);
    },
    progress,
  };
}

/** An error as `--json` and the inspection of several files show it. */
export interface ErrorRecord {
  /** A code of this package, `ABORT_ERR`, a code of Node such as `ENOENT`, or `ERR_UNEXPECTED`. */
  readonly code: string;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** The facts of anything that was thrown. */
export function errorRecord(error: unknown): ErrorRecord {
  if (error instanceof AnimateDiffError) {
    return { code: error.code, message: error.message, details: error.details };
  }
  if (error instanceof Interruption) return { code: 'ABORT_ERR', message: error.message, details: {} };
  if (!(error instanceof Error))
    return { code: 'ERR_UNEXPECTED', message: redacted(String(error)), details: {} };
  const { code } = error as NodeJS.ErrnoException;
  return {
    code: typeof code === 'string' ? code : 'ERR_UNEXPECTED',
    message: redacted(error.message),
    details: {},
  };
}

/** The stack of an error and of its causes. */
function stackOf(error: unknown): string {
  const stacks: string[] = [];
  for (let e = error; e !== undefined && stacks.length < 8; e = e instanceof Error ? e.cause : undefined) {
    stacks.push(e instanceof Error ? (e.stack ?? e.message) : String(e));
  }
  return redacted(stacks.join('\ncaused by: '));
}

/** Tells an error: a block on stderr, and with `--json` also a document on stdout. */
export function reportError(context: Context, flags: GlobalFlags, error: unknown): void {
  const { stdout, stderr } = context;
  const record = errorRecord(error);
  const { color } = streamStyle(stderr, context.environment);
  if (flags.json) stdout.write(`${JSON.stringify({ error: record }, null, 2)}\n`);
  if (error instanceof Interruption) {
    stderr.write(`${record.message}\n`);
    return;
  }
  const word = color ? `${PAINT.error}error:${PAINT.reset}` : 'error:';
  stderr.write(`${word} ${record.message}\ncode: ${record.code}\n`);
  if (flags.verbose || context.environment.debug) stderr.write(`${stackOf(error)}\n`);
  else if (record.code === 'ERR_UNEXPECTED') {
    stderr.write(
      'This is a defect of animatediff-native. Run again with --verbose and report what it prints.\n',
    );
  }
}
