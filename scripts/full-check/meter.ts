/**
 * Measures time and memory of this process, and how much of the CPU others took meanwhile: a time without
 * that number means nothing on a machine that is shared. Linux only, as the package.
 */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** One timed piece of work. */
export interface Sample {
  /** Wall clock. */
  readonly seconds: number;
  /** CPU seconds of this process, and those of them in the kernel. */
  readonly cpu: number;
  readonly system: number;
  /** Part of the machine's CPU time that other processes and the hypervisor took, 0 to 1. */
  readonly foreign: number;
}

/** Above this, a sample was disturbed. */
export const QUIET = 0.05;

/** Ticks per second of /proc/stat (`USER_HZ`, the same on every Linux architecture that Node runs on). */
const TICKS = 100;

/** CPU seconds that the whole machine was busy or stolen from since it started. */
export function machineSeconds(): number {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = first
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS;
}

/** Runs `work` and measures it. */
export async function measure<T>(work: () => Promise<T>): Promise<{ value: T; sample: Sample }> {
  const [wall, own, machine] = [performance.now(), process.cpuUsage(), machineSeconds()];
  const value = await work();
  const seconds = (performance.now() - wall) / 1000;
  const used = process.cpuUsage(own);
  const cpu = (used.user + used.system) / 1e6;
  const others = Math.max(0, machineSeconds() - machine - cpu);
  const foreign = Math.min(1, others / (seconds * os.cpus().length));
  return { value, sample: { seconds, cpu, system: used.system / 1e6, foreign } };
}

/** Waits until others leave the CPU for a second, at most `patience` seconds. */
export async function waitForQuiet(patience: number): Promise<void> {
  const end = performance.now() + patience * 1000;
  while (performance.now() < end) {
    const { sample } = await measure(() => sleep(1000));
    if (sample.foreign < QUIET) return;
  }
}

/** High-water mark of this process's resident memory, in bytes. */
export function peakBytes(): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}
