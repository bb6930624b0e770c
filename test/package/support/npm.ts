/** How to start npm, and the folder of this package. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of this package. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** Program and first arguments: the npm that runs these tests, else that of the PATH. */
export const NPM: readonly [string, ...string[]] = process.env.npm_execpath?.endsWith('.js')
  ? [process.execPath, process.env.npm_execpath]
  : ['npm'];
