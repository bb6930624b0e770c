/**
 * A program that answers like `python3` where the package calls it: for the folder of torch, for pip's own
 * installation, for pip's report and for pip's download. It writes down how it was called.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface FakePythonOptions {
  /** Folder of its torch; none by default. */
  readonly torch?: string;
  /** Milliseconds before any answer. */
  readonly delay?: number;
  /** `python -m pip` says that there is no such module. */
  readonly withoutPip?: boolean;
  /** What `pip install --report` prints, by requirement; others have no matching distribution. */
  readonly reports?: Readonly<Record<string, readonly ReportedWheel[]>>;
  /** File that `pip download` copies into its destination. */
  readonly download?: string;
}

export interface ReportedWheel {
  readonly name: string;
  readonly version: string;
  readonly url: string;
  readonly sha256?: string;
  readonly requires?: readonly string[];
}

const PROGRAM = `
const fs = require('node:fs');
const path = require('node:path');
const spec = JSON.parse(fs.readFileSync(__filename + '.json', 'utf8'));
const args = process.argv.slice(2);
fs.appendFileSync(__filename + '.calls', JSON.stringify(args) + '\\n');
const fail = (text) => { console.error(text); process.exitCode = 1; };
const valueOf = (flag) => args[args.indexOf(flag) + 1];
setTimeout(() => {
  if (args[0] === '-c') return console.log(JSON.stringify([__filename, spec.torch ?? null]));
  if (spec.withoutPip) return fail(__filename + ': No module named pip');
  if (args.includes('--target')) return fs.writeFileSync(path.join(valueOf('--target'), 'installed'), '');
  if (args.includes('download')) {
    return fs.copyFileSync(spec.download, path.join(valueOf('--dest'), path.basename(spec.download)));
  }
  const wheels = spec.reports?.[args.at(-1)];
  if (!wheels) return fail('ERROR: No matching distribution found for ' + args.at(-1));
  const install = wheels.map(({ name, version, url, sha256, requires }) => ({
    download_info: { url, archive_info: sha256 ? { hash: 'sha256=' + sha256, hashes: { sha256 } } : {} },
    metadata: { name, version, requires_dist: requires },
  }));
  console.log(JSON.stringify({ version: '1', install }));
}, spec.delay ?? 0);
`;

/** Writes the program into `folder` and returns its path. */
export function fakePython(folder: string, options: FakePythonOptions = {}): string {
  const file = path.join(folder, 'python.cjs');
  writeFileSync(file, `#!${process.execPath}\n${PROGRAM}`);
  writeFileSync(`${file}.json`, JSON.stringify(options));
  writeFileSync(`${file}.calls`, '');
  chmodSync(file, 0o755);
  return file;
}

/** The arguments of every call so far. */
export function callsOf(python: string): readonly (readonly string[])[] {
  const lines = readFileSync(`${python}.calls`, 'utf8').trim().split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as string[]);
}
