/** What a result is worth depends on where it was measured: processor, memory, commit. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ROOT } from './turns.ts';

export interface Hardware {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Instruction sets that decide how fast networks run. */
  readonly flags: readonly string[];
  readonly kernel: string;
  readonly accelerator?: string;
}

const FLAGS = /^(avx2|avx512f|avx512_bf16|avx512_fp16|amx_)/;

export function hardware(accelerator?: string): Hardware {
  const line = /^flags\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.cpus().length,
    memoryBytes: os.totalmem(),
    flags: line.split(' ').filter((flag) => FLAGS.test(flag)),
    kernel: os.release(),
    ...(accelerator !== undefined && { accelerator }),
  };
}

function git(...args: readonly string[]): string {
  return execFileSync('git', args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();
}

/** Short hash, with a `+` when tracked files differ from it, or what an offline bundle says; else undefined. */
export function commit(): string | undefined {
  const { gitHead } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
    gitHead?: string;
  };
  if (gitHead !== undefined) return gitHead;
  try {
    const dirty = git('status', '--porcelain', '--untracked-files=no') !== '';
    return git('rev-parse', '--short', 'HEAD') + (dirty ? '+' : '');
  } catch {
    return undefined;
  }
}
