/** What a command gets from the process it runs in; tests give it another one. */
import type { Environment } from '../environment.ts';
import type { TextStream } from './progress.ts';
import type { Services } from './services.ts';

export interface Context {
  /** Results only: paths, reports, one JSON document. */
  readonly stdout: TextStream;
  /** Progress, notes and errors. */
  readonly stderr: TextStream;
  readonly environment: Pick<Environment, 'ci' | 'noColor' | 'debug'>;
  /** Folder that relative paths on the command line belong to. */
  readonly folder: string;
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  readonly services: Services;
  readonly now: () => Date;
  /** Set by a command that ran to its end and still failed, such as `inspect` of a broken file. */
  exitCode: number;
}

/** Flags that every command has. */
export interface GlobalFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}
