/** Starts programs for the build scripts. Their output goes to stderr: stdout is for results. */
import { spawn, spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the package. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Something went wrong that the message explains; where in the scripts does not matter. */
export class Failure extends Error {}

/** A program ended badly; its own output has said why. */
export class ProgramFailed extends Failure {
  constructor(command, status) {
    super(`${path.basename(command)} ended with status ${status}`);
    this.status = status;
  }
}

/** Runs a program in the root of the package to its end; throws {@link ProgramFailed}. */
export async function run(command, args, options = {}) {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', process.stderr, 'inherit'], ...options });
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  if (status !== 0) throw new ProgramFailed(command, status);
}

/** Runs one of the programs in node_modules, given by the path of its script. */
export async function runNode(script, args, options) {
  await run(process.execPath, [path.join(ROOT, 'node_modules', script), ...args], options);
}

/** What `command --version` prints, or undefined where there is no such program. */
export function versionOf(command) {
  const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8', timeout: 20_000 });
  return status === 0 ? /\d+(\.\d+)+/.exec(stdout)?.[0] : undefined;
}

/** One line about what is being done. */
export function say(text) {
  console.error(`- ${text}`);
}

/** Is the module with this address the program that runs? It may have been started through a link. */
export function isProgram(address) {
  return process.argv[1] !== undefined && fileURLToPath(address) === realpathSync(process.argv[1]);
}

/** Runs a script's main function; a failure is one line, and the exit status is 1. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    const known = error instanceof Failure || error?.name === 'AnimateDiffError';
    console.error(`error: ${known ? error.message : (error?.stack ?? error)}`);
    process.exitCode = 1;
  }
}
