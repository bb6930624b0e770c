/** The parity tests with the reference's networks on the device, and those of pipelines that share weights there. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../../bench/turns.ts';
import { type Findings, runNode, type Subject } from './process.ts';

/** Tests that read `ANIMATEDIFF_TEST_DEVICE`. */
const FOLDERS = ['test/parity'];
const FILES = ['test/pipeline/sharing.test.ts'];

/** Errors nearest to their limits that the result keeps. */
const KEPT = 20;

const count = (output: string, what: string) =>
  Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(output)?.[1] ?? Number.NaN);

export async function checkParity({ flags, say }: Subject): Promise<Findings> {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(path.join(ROOT, folder)).map((name) => path.posix.join(folder, name)),
  )
    .filter((name) => name.endsWith('.test.ts'))
    .concat(FILES);
  say(`${files.length} files of parity tests on ${flags.device}`);
  const { status, stdout } = await runNode(
    ['--import', 'tsx', '--test', '--test-concurrency=1', '--test-reporter=tap', ...files],
    { ANIMATEDIFF_TEST_DEVICE: flags.device },
  );
  const [passed, failed] = [count(stdout, 'pass'), count(stdout, 'fail')];
  const names = [...stdout.matchAll(/^\s*not ok \d+ - (.*)$/gm)].map(([, name]) => name);
  // `UNet v2, original, 8x8: max abs error 1.19e-6 (limit 1e-5)`, as the tests print them.
  const errors = [...stdout.matchAll(/# (.*): max abs error (\S+) \(limit (\S+)\)/g)].map(
    ([, what, error, limit]) => ({ what, error: Number(error), limit: Number(limit) }),
  );
  const nearest = errors.sort((a, b) => b.error / b.limit - a.error / a.limit).slice(0, KEPT);
  const problems = status === 0 && passed > 0 ? [] : [`${failed} of ${passed + failed} parity tests fail`];
  return { problems, facts: { passed, failed, names, compared: errors.length, nearest } };
}
