/**
 * Fuzzes the readers: `npm run fuzz -- --seconds 600`. Prints a report, writes the inputs of findings into
 * `build/fuzz/`, and fails when there are any. `--target` takes a part of the name of a target.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type FuzzReport, fuzz } from './support/fuzzer.ts';
import { READERS, targets } from './support/targets.ts';

const FINDINGS = path.resolve(import.meta.dirname, '../../build/fuzz');

function describe({ executions, corpus, coverage, slowest, findings }: FuzzReport): string {
  const { functions, characters } = coverage;
  const percent = (100 * characters.ran) / characters.total;
  const sizes = Object.entries(corpus).map(([name, size]) => `${name} ${size}`);
  return [
    `${executions} inputs, the slowest took ${Math.round(slowest)} ms`,
    `ran ${functions.ran} of ${functions.total} functions, and ${percent.toFixed(1)} % of their text`,
    `corpus: ${sizes.join(', ')}`,
    `findings: ${findings.length}`,
  ].join('\n');
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string', default: '' },
  },
});
const report = await fuzz({
  targets: targets().filter(({ name }) => name.includes(values.target)),
  modules: READERS,
  seed: Number(values.seed),
  seconds: Number(values.seconds),
  scratch: path.join(temporaryFolder(), 'input'),
  onProgress: (state) => console.error(`${describe(state)}\n`),
});
console.log(describe(report));
mkdirSync(FINDINGS, { recursive: true });
for (const [index, { target, input, reason }] of report.findings.entries()) {
  const file = path.join(FINDINGS, `${target.replaceAll(' ', '-')}-${index}`);
  writeFileSync(file, input);
  console.log(`\n${target}, input in ${file}:\n${reason}`);
}
process.exitCode = report.findings.length > 0 ? 1 : 0;
