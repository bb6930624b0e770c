/** Loads the model through the public API, with the settings of configs/demo*.yaml. */
import path from 'node:path';
import { loadConfig } from '../../lib/config/load.ts';
import { type Config, GENERATE_KEYS, LOAD_KEYS, pick } from '../../lib/config/schema.ts';
import { AnimateDiff, type GenerateOptions, type LoadOptions } from '../../lib/index.ts';
import { PACKAGE_ROOT } from '../../lib/package-info.ts';

/** Files and settings of one set. */
export interface Model {
  readonly load: LoadOptions;
  /** Everything but prompts and seeds. */
  readonly settings: Omit<GenerateOptions, 'prompt' | 'seed'>;
}

/** The same files in another folder. */
function moveFiles(config: Config, folder: string): Config {
  const move = (file: string) => path.join(folder, path.basename(file));
  const moveEntry = <T extends { readonly path: string }>(entry: T | string) =>
    typeof entry === 'string' ? move(entry) : { ...entry, path: move(entry.path) };
  return {
    ...config,
    ...(config.base === undefined ? {} : { base: move(config.base) }),
    ...(config.checkpoint === undefined ? {} : { checkpoint: move(config.checkpoint) }),
    ...(config.motionModule === undefined ? {} : { motionModule: moveEntry(config.motionModule) }),
    ...(config.loras === undefined ? {} : { loras: config.loras.map(moveEntry) }),
  };
}

/**
 * @param name of a file in configs/
 * @param folder of the weight files; default: those that the configuration names
 * @throws AnimateDiffError as `loadConfig`
 */
export async function readModel(name: string, folder?: string): Promise<Model> {
  const shipped = await loadConfig(path.join(PACKAGE_ROOT, 'configs', name));
  const config = folder === undefined ? shipped : moveFiles(shipped, path.resolve(folder));
  const { base, ...load } = pick(config, LOAD_KEYS);
  if (base === undefined) throw new RangeError('The configuration names no base.');
  const { prompt: _prompt, seed: _seed, ...settings } = pick(config, GENERATE_KEYS);
  return { load: { base, ...load }, settings };
}

/** The same with a motion module of another strength: `motionModule.scale`. */
export function withMotionScale(model: Model, scale: number): Model {
  const { motionModule } = model.load;
  if (motionModule === undefined) throw new RangeError('There is no motion module to scale.');
  const file =
    typeof motionModule === 'object' && 'path' in motionModule ? motionModule : { path: motionModule };
  return { ...model, load: { ...model.load, motionModule: { ...file, scale } } };
}

export async function openModel({ load }: Model): Promise<AnimateDiff> {
  return await AnimateDiff.load(load);
}
