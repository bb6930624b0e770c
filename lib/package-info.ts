/** Name and version of this package, for metadata and reports. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder that holds package.json. */
export const PACKAGE_ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

let version: string | undefined;

export function packageVersion(): string {
  version ??= (
    JSON.parse(readFileSync(path.join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string }
  ).version;
  return version;
}

/** Such as `animatediff-native 0.1.0`. */
export function software(): string {
  return `animatediff-native ${packageVersion()}`;
}
