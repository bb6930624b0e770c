/** `npm run bench`: measures, draws curves or writes the report. Results go to stdout, progress to stderr. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runBenchmark, Unequal } from './benchmark.ts';
import { runCurves } from './curves.ts';
import { type Flags, readFlags } from './flags.ts';
import { findPeers } from './peers/find.ts';
import { formatBench } from './print.ts';
import { writeReport } from './report.ts';
import { writeResult } from './results.ts';
import { ROOT } from './turns.ts';
import { UsageError } from './usage.ts';
import { baseShape, prepareWork, warnings } from './work.ts';

const say = (text: string) => console.error(`- ${text}`);

async function measure(flags: Flags, folder: string): Promise<void> {
  for (const text of warnings(flags.family)) say(text);
  say(`random weights of the family ${flags.family}`);
  const work = prepareWork(folder, flags, baseShape(flags));
  if (flags.action === 'curves') {
    const file = writeResult(await runCurves({ flags, work, folder, say }), flags.out);
    console.log(path.relative(ROOT, file));
    return;
  }
  const result = await runBenchmark({ flags, work, folder, say, ...(await findPeers(flags, say)) });
  console.log(formatBench(result));
  console.log(`\n${path.relative(ROOT, writeResult(result, flags.out))}`);
}

async function main(args: readonly string[]): Promise<void> {
  const flags = readFlags(args);
  if (flags.action === 'report') {
    for (const file of writeReport()) console.log(path.relative(ROOT, file));
    return;
  }
  const folder = path.resolve(flags.folder ?? mkdtempSync(path.join(os.tmpdir(), 'animatediff-bench-')));
  try {
    await measure(flags, folder);
  } finally {
    if (flags.folder === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof UsageError || error instanceof Unequal;
  console.error(`error: ${known ? error.message : ((error as Error).stack ?? error)}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
