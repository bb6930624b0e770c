/** The machine that a result was measured on, and the file that it goes into. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ROOT } from '../run.mjs';

/** Keys whose values are paths of this machine, or of no use to a reader. */
const LEFT_OUT = ['out', 'checkpoint', 'motionModule', 'path', 'tokens'];

function hardware() {
  const cpuinfo = readFileSync('/proc/cpuinfo', 'utf8');
  const flags = /^flags\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(' ') ?? [];
  return {
    cpu: os.cpus()[0]?.model.trim(),
    cores: os.cpus().length,
    memoryBytes: os.totalmem(),
    flags: flags.filter((flag) => /^(avx2|avx512f|avx512_bf16|avx512_fp16|amx_)/.test(flag)),
    kernel: os.release(),
  };
}

/** Writes a result with date, commit and machine into `bench/results/`, and prints its name. */
export async function writeResult(name, facts) {
  const date = new Date().toISOString().slice(0, 10);
  const machine = hardware();
  const slug = machine.cpu
    .toLowerCase()
    .replace(/\(r\)|\(tm\)/g, '')
    .replace(/[^a-z0-9]+/g, '-');
  const file = path.join(ROOT, 'bench', 'results', `${name}-${date}-${slug}.json`);
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: ROOT,
    encoding: 'utf8',
  }).trim();
  const withoutPaths = (key, value) => (LEFT_OUT.includes(key) ? undefined : value);
  await writeFile(
    file,
    `${JSON.stringify({ date, commit, hardware: machine, ...facts }, withoutPaths, 2)}\n`,
  );
  console.log(`\n${path.relative(ROOT, file)}`);
}

/** Throws when something does not hold; `checks` have `what` and `holds`, by a name such as the dtype. */
export function requireAll(checks) {
  const failed = checks.flatMap(([name, list]) =>
    list.filter(({ holds }) => !holds).map(({ what }) => `${name}: ${what}`),
  );
  if (failed.length > 0) throw new Error(`These do not hold: ${failed.join('; ')}`);
}
