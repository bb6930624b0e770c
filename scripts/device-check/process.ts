/** What the parts of the device check share: their subject, what they find, and processes of their own. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import type { ModelFiles } from '../../bench/job.ts';
import { ROOT } from '../../bench/turns.ts';
import type { ProbedDevice } from '../../lib/libtorch/probe.ts';
import type { Flags, Part } from './flags.ts';

export interface Subject {
  readonly flags: Flags;
  /** For whatever is written on the way. */
  readonly folder: string;
  readonly files: ModelFiles;
  /** The CUDA device, where there is one. */
  readonly accelerator?: ProbedDevice;
  readonly say: (text: string) => void;
}

/** Sentences about what does not hold, and what was measured. */
export interface Findings {
  readonly problems: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
}

export type Check = (subject: Subject) => Promise<Findings>;

export interface Finding extends Findings {
  readonly part: Part;
  readonly ok: boolean;
  readonly seconds: number;
}

export interface Ended {
  readonly status: number | NodeJS.Signals | null;
  readonly stdout: string;
}

/** Runs Node in the root of the package to its end; stderr passes through. */
export async function runNode(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  return await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ status: code ?? signal, stdout: Buffer.concat(chunks).toString('utf8') });
    });
  });
}

/** Runs a program of this folder in a process of its own, with a job as JSON; its last line is the answer, as JSON. */
export async function runProgram<Answer>(
  name: string,
  job: object,
  env?: NodeJS.ProcessEnv,
): Promise<Answer> {
  const program = path.join('scripts', 'device-check', name);
  const { status, stdout } = await runNode(
    ['--expose-gc', '--import', 'tsx', program, JSON.stringify(job)],
    env,
  );
  if (status !== 0) throw new Error(`${name} ended with status ${status}.`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Answer;
}

/** The job that a program was started with. */
export function readJob<Job>(): Job {
  return JSON.parse(process.argv[2] ?? '') as Job;
}
