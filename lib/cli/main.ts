/** Connects the command line with this process: its streams, signals and exit code. */
import process from 'node:process';
import { readEnvironment } from '../environment.ts';
import { watchSignals } from './exit.ts';
import { run } from './program.ts';
import type { Services } from './services.ts';

/** Runs the command line of this process. Resolves when the command has ended and set the exit code. */
export async function main(services: Services): Promise<void> {
  // A reader that closed the pipe (`| head`) has what it wanted.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  const { signal, stop } = watchSignals(process, () => {
    process.stderr.write('\nStopping. Press Ctrl-C again to end at once.\n');
  });
  process.exitCode = await run(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    environment: readEnvironment(),
    folder: process.cwd(),
    signal,
    services,
    now: () => new Date(),
    exitCode: 0,
  });
  stop();
}
