/**
 * The configuration of the model that ships with the package, for a style and a camera move. Files and
 * settings are those of `configs/demo*.yaml`, so that `generate` with these files makes the same clips.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { AnimateDiffError } from '../errors.ts';
import { PACKAGE_ROOT } from '../package-info.ts';
import type { DemoChoice } from './choices.ts';

/** Folder of the configurations that ship with the package. */
const CONFIGS = path.join(PACKAGE_ROOT, 'configs');

/** Absolute paths of all weight files that a configuration names. */
function weightFiles({ base, checkpoint, motionModule, loras = [] }: Config): string[] {
  return [base, checkpoint, motionModule, ...loras].flatMap((source) => {
    if (source === undefined) return [];
    return typeof source === 'string' ? source : source.path;
  });
}

/** Folders that hold files, as a sentence names them. */
function foldersOf(files: readonly string[]): string {
  return [...new Set(files.map((file) => path.dirname(file)))].join(' and ');
}

function requireFiles(files: readonly string[]): void {
  const missing = files.filter((file) => !existsSync(file));
  if (missing.length === 0) return;
  const names = missing.map((file) => path.basename(file)).join(', ');
  throw new AnimateDiffError(
    'ERR_FILE_NOT_FOUND',
    `The demo model is not complete: ${names} missing in ${foldersOf(missing)}. It comes with the npm package: ` +
      'reinstall animatediff-native. In a clone, restore it with `git checkout -- models/demo`, or train it ' +
      'as scripts/demo/README.md says.',
    { details: { missing } },
  );
}

/**
 * The configuration of the model, with absolute paths. A style brings its own settings; a camera move that
 * comes on top of a style brings its LoRAs alone.
 *
 * @param folder of `demo.yaml`, `demo-neon.yaml` and the others
 * @throws AnimateDiffError `ERR_FILE_NOT_FOUND` when weight files are missing; `ERR_CONFIG` as `loadConfig`.
 */
export async function readDemoConfig({ style, camera }: DemoChoice, folder = CONFIGS): Promise<Config> {
  const chosen = [style, camera].filter((name) => name !== undefined);
  const names = chosen.length === 0 ? ['demo'] : chosen.map((name) => `demo-${name}`);
  const configs = await Promise.all(names.map((name) => loadConfig(path.join(folder, `${name}.yaml`))));
  const loras = configs.flatMap((config) => config.loras ?? []);
  const config: Config = { ...configs[0], ...(loras.length > 0 ? { loras } : {}) };
  requireFiles(weightFiles(config));
  return config;
}
