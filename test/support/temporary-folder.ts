/** A folder for the files of one test file, removed when the process ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'animatediff-test-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
