/** What the option `memory` does to the peak, and what happens when memory runs out. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { MemoryMode } from '../../lib/options.ts';
import type { MemoryAnswer, MemoryJob } from './memory-run.ts';
import { type Findings, runProgram, type Subject } from './process.ts';

const MODES = ['high', 'auto', 'low'] as const satisfies readonly MemoryMode[];

/** Mean difference in bytes that rounding explains after a few steps. */
const ROUNDING = 1;

interface Run extends MemoryAnswer {
  readonly peak: number;
}

class Runs {
  readonly #subject: Subject;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  framesOf(name: string): string {
    return path.join(this.#subject.folder, `frames-${name}`);
  }

  /** @param limit bytes that the clip may take: beyond the weights on the CPU, in all on a device */
  async run(name: string, memory: MemoryMode, limit?: number): Promise<Run> {
    const { flags, files, accelerator, say } = this.#subject;
    const { device, size, frames, steps, threads } = flags;
    say(`memory: ${name}`);
    const job: MemoryJob = {
      load: {
        ...{ base: files.checkpoint, motionModule: files.motionModule, device, memory },
        ...(threads > 0 && { threads }),
        ...(device === 'cpu' && { dtype: 'float32' as const }),
      },
      clip: { prompt: 'a paper boat', seed: 1, width: size, height: size, frames, steps, guidanceScale: 7.5 },
      frames: this.framesOf(name),
      ...(device === 'cpu' && { hostLimit: limit }),
    };
    // LibTorch's own limit for a device, so that its allocator is what runs out.
    const share = limit && accelerator && device === 'cuda' && limit / accelerator.totalBytes;
    // The engine leaves settings of the user's alone, also the one that it would make itself.
    const config = `expandable_segments:True,per_process_memory_fraction:${share}`;
    const env = share ? { PYTORCH_ALLOC_CONF: config, PYTORCH_CUDA_ALLOC_CONF: config } : {};
    const answer = await runProgram<MemoryAnswer>('memory-run.ts', job, env);
    const { memory: taken } = answer;
    return { ...answer, peak: device === 'cpu' ? taken.hostPeak : taken.devicePeak };
  }

  /** Mean difference in bytes between the frames of two runs. */
  difference(left: string, right: string): number {
    const [a, b] = [left, right].map((name) => readFileSync(this.framesOf(name)));
    if (a === undefined || b === undefined || a.length !== b.length) return Number.POSITIVE_INFINITY;
    return a.reduce((sum, value, index) => sum + Math.abs(value - (b[index] ?? 0)), 0) / a.length;
  }
}

async function checkModes(runs: Runs, problems: string[]): Promise<Record<MemoryMode, Run>> {
  const modes = {} as Record<MemoryMode, Run>;
  for (const mode of MODES) {
    modes[mode] = await runs.run(mode, mode);
    if (modes[mode].error) problems.push(`'${mode}' fails: ${modes[mode].error.message}`);
    else if (runs.difference('high', mode) > ROUNDING)
      problems.push(`'${mode}' gives other frames than 'high'`);
  }
  if (modes.low.peak >= modes.high.peak) problems.push("'low' takes no less than 'high'");
  return modes;
}

/** Room for half of guidance, not for both: the stage must go on in smaller pieces. */
async function checkRetry(runs: Runs, limit: number, problems: string[]): Promise<Run> {
  const run = await runs.run('too little for both halves', 'high', limit);
  if (run.error) problems.push(`a stage that ran out of memory did not go on: ${run.error.message}`);
  else if (runs.difference('high', 'too little for both halves') > ROUNDING)
    problems.push('a stage that went on in smaller pieces gives other frames');
  if (!run.notices.some(({ code }) => code === 'memory-retry'))
    problems.push('nothing said that memory ran out');
  return run;
}

async function checkFailure(runs: Runs, limit: number, problems: string[]): Promise<Run> {
  const run = await runs.run('too little for anything', 'auto', limit);
  if (run.error?.code !== 'ERR_OUT_OF_MEMORY')
    problems.push(`expected ERR_OUT_OF_MEMORY, got ${run.error?.code}`);
  else if (!/Ask for .*frames?/.test(run.error.message))
    problems.push('the error does not say what would fit');
  if (!run.usableAfterwards) problems.push('the pipeline could not be used after running out of memory');
  return run;
}

export async function checkMemory(subject: Subject): Promise<Findings> {
  const problems: string[] = [];
  const runs = new Runs(subject);
  const modes = await checkModes(runs, problems);
  const { high, low } = modes;
  const base = subject.flags.device === 'cpu' ? high.memory.hostHeld : 0;
  const retry = await checkRetry(runs, (high.peak + low.peak) / 2 - base, problems);
  // A quarter of what the clip takes in pieces; on a device, where all weights can wait on the host, what the text encoder and
  // a small clip need.
  const least = base > 0 ? (low.peak - base) / 4 : low.memory.weights / 6;
  const failure = await checkFailure(runs, Math.max(2 ** 20, least), problems);
  return { problems, facts: { modes, retry, failure } };
}
