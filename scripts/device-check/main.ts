/**
 * The check of a device: that CUDA can be used at all, the parity tests on it, what `memory` does to its peak and what
 * happens when memory runs out, many clips in a row, and the benchmark. Everything goes into one file, with the
 * hardware in it; the exit status says whether all of it held.
 *
 *   --device cpu|cuda  --out FOLDER  [--only parity,memory,soak,bench]
 *   [--family sd15|demo|tiny] [--size 512] [--frames 16] [--steps 4] [--clips 100] [--threads 0]
 *
 * Weights are random in the layouts and sizes of `--family`, as in the benchmark; nothing is downloaded.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { commit, hardware } from '../../bench/machine.ts';
import { writeModel } from '../../bench/model.ts';
import { UsageError } from '../../bench/usage.ts';
import { type DoctorReport, diagnose } from '../../lib/libtorch/doctor.ts';
import { checkBench } from './bench.ts';
import { type Flags, type Part, readFlags } from './flags.ts';
import { checkMemory } from './memory.ts';
import { checkParity } from './parity.ts';
import type { Check, Finding, Subject } from './process.ts';
import { checkSoak } from './soak.ts';

const CHECKS: Readonly<Record<Part, Check>> = {
  parity: checkParity,
  memory: checkMemory,
  soak: checkSoak,
  bench: checkBench,
};

const say = (text: string) => console.error(`- ${text}`);

function requireDevice({ device }: Flags, report: DoctorReport): void {
  if (!report.ok) throw new UsageError(report.problems.join('\n'));
  if (device === 'cuda' && !report.cuda.usable)
    throw new UsageError(`CUDA cannot be used here: ${report.cuda.reason}.`);
}

async function runChecks(flags: Flags, subject: Subject): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const part of flags.only) {
    const begun = performance.now();
    const finding = await CHECKS[part](subject).catch((error: Error) => ({
      problems: [error.stack ?? error.message],
      facts: {},
    }));
    const seconds = Math.round((performance.now() - begun) / 100) / 10;
    say(`${part}: ${finding.problems.length === 0 ? 'ok' : finding.problems.join('; ')} (${seconds} s)`);
    findings.push({ part, ok: finding.problems.length === 0, seconds, ...finding });
  }
  return findings;
}

/** A second result of a day gets a number: what was measured is not written over. */
function writeResult({ out, device }: Flags, result: object): string {
  mkdirSync(out, { recursive: true });
  const date = new Date().toISOString().slice(0, 10);
  for (let count = 1; ; count += 1) {
    const file = path.join(out, `device-${device}-${date}${count === 1 ? '' : `-${count}`}.json`);
    try {
      writeFileSync(file, `${JSON.stringify({ date, ...result }, undefined, 2)}\n`, { flag: 'wx' });
      return file;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

async function main(args: readonly string[]): Promise<void> {
  const flags = readFlags(args);
  const report = await diagnose();
  requireDevice(flags, report);
  const accelerator = report.devices.find(({ kind, index }) => kind === 'cuda' && index === 0);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'animatediff-device-'));
  try {
    say(`random weights of the family ${flags.family}`);
    const subject = { flags, folder, files: writeModel(folder, flags.family), accelerator, say };
    const findings = await runChecks(flags, subject);
    const { out: _, ...settings } = flags;
    const machine = {
      ...hardware(accelerator?.name),
      ...(accelerator && { deviceBytes: accelerator.totalBytes }),
    };
    const versions = {
      'animatediff-native': report.version,
      node: report.node,
      libtorch: report.libtorch?.version,
    };
    const file = writeResult(flags, {
      ...{ kind: 'device-check', commit: commit(), ok: findings.every(({ ok }) => ok) },
      ...{ hardware: machine, driver: report.cuda.driver, versions, settings, findings },
    });
    console.log(file);
    if (!findings.every(({ ok }) => ok)) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof UsageError;
  console.error(`error: ${known ? error.message : ((error as Error).stack ?? error)}`);
  process.exitCode = known ? 2 : 1;
}
