/** Starts the processes of the sides, one at a time, and reads what they answer. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { machineSeconds } from '../scripts/full-check/meter.ts';
import type { Answer, Job, Work } from './job.ts';
import type { Task } from './measures.ts';
import { runStableDiffusionCpp } from './peers/sdcpp.ts';
import type { Side } from './sides.ts';
import type { Value } from './statistics.ts';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Programs that peers need. */
export interface Programs {
  readonly python?: string;
  readonly sdcpp?: string;
}

export interface TurnRequest {
  readonly tasks: readonly Task[];
  readonly fresh?: boolean;
  readonly keep?: boolean;
  /** Folder for the job, the answer and its tensors. */
  readonly out: string;
}

/** A process that ran to its end. */
export interface Finished {
  /** From just before it was started, wall clock. */
  readonly seconds: number;
  /** Seconds since 1970 at which it was started. */
  readonly startedAt: number;
  /** CPU seconds that the machine was busy meanwhile, this process included. */
  readonly machine: number;
  readonly output: string;
}

/** transformers warns of models that nobody uses here. */
const QUIET = { TRANSFORMERS_VERBOSITY: 'error' };

/** Runs a program to its end; its messages go to stderr, and its standard output comes back. */
export async function runProgram(
  command: string,
  args: readonly string[],
  { threads }: Pick<Work, 'threads'>,
): Promise<Finished> {
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), HF_HUB_OFFLINE: '1', ...QUIET };
  const [startedAt, clock, machine] = [Date.now() / 1000, performance.now(), machineSeconds()];
  const child = spawn(command, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const status = await new Promise<number | string | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  if (status !== 0)
    throw new Error(`${path.basename(command)} ${args[0] ?? ''} ended with status ${status}.`);
  return {
    seconds: (performance.now() - clock) / 1000,
    startedAt,
    machine: machineSeconds() - machine,
    output: Buffer.concat(chunks).toString('utf8'),
  };
}

/** Part of the machine that others took while a process ran. */
function foreignShare({ machine, seconds }: Finished, cpu: number): number {
  return Math.min(1, Math.max(0, machine - cpu) / (seconds * os.cpus().length));
}

function command(side: Side, fresh: boolean, { python }: Programs): readonly [string, ...string[]] {
  if (side.runner === 'ours')
    return fresh
      ? [process.execPath, 'bench/fresh.mjs']
      : [process.execPath, '--import', 'tsx', 'bench/ours.ts'];
  if (python === undefined) throw new Error(`${side.name} needs Python.`);
  return [python, 'bench/peers/turn.py'];
}

/** Adds what only the starting side can know: when the process began, and what others took while it ran. */
function wholeProcess(answer: Answer, finished: Finished): Answer['values'] {
  if (answer.firstStep === undefined) return answer.values;
  const foreign = foreignShare(finished, answer.cpu);
  const since = (moment: number): Value[] => [{ value: moment - finished.startedAt }];
  const { begun, done } = answer.firstStep;
  const values = { ...answer.values, coldStart: since(begun), coldStep: since(done) };
  return Object.fromEntries(
    Object.entries(values).map(([name, list]) => [name, list.map((each) => ({ foreign, ...each }))]),
  );
}

/** One process of a side, from start to end. */
export async function runTurn(
  side: Side,
  work: Work,
  { tasks, fresh = false, keep = false, out }: TurnRequest,
  programs: Programs,
): Promise<Answer> {
  mkdirSync(out, { recursive: true });
  if (side.runner === 'sdcpp') return await runStableDiffusionCpp(work, out, programs.sdcpp ?? 'sd-cli');
  const job: Job = { ...work, dtype: side.dtype, mode: side.mode, tasks, fresh, keep, out };
  const file = path.join(out, 'job.json');
  writeFileSync(file, JSON.stringify(job));
  const [program, ...args] = command(side, fresh, programs);
  const finished = await runProgram(program, [...args, file], work);
  const answer = JSON.parse(readFileSync(path.join(out, 'answer.json'), 'utf8')) as Answer;
  return { ...answer, values: fresh ? wholeProcess(answer, finished) : answer.values };
}
