/** Paths in configuration files: relative to the folder of the file, `~` is the user's home folder. */
import { homedir } from 'node:os';
import path from 'node:path';
import type { Config } from './schema.ts';

/** `hf:owner/repo` and the like name a place that is not a path. */
const SOURCE = /^(hf|civitai|https?):/;

/**
 * The absolute form of a path. `~` and `~/…` expand to the home folder; a trailing separator, which
 * marks a folder that need not exist yet, stays.
 */
export function resolvePath(value: string, folder: string, home: string = homedir()): string {
  if (SOURCE.test(value)) return value;
  const expanded = value === '~' || /^~[/\\]/.test(value) ? path.join(home, value.slice(1)) : value;
  const absolute = path.resolve(folder, expanded);
  return /[/\\]$/.test(value) && !absolute.endsWith(path.sep) ? `${absolute}${path.sep}` : absolute;
}

/** The same configuration with all of its paths absolute. */
export function resolvePaths(config: Config, folder: string): Config {
  const { motionModule, loras, embeddings } = config;
  const resolved: Config = { ...config };
  for (const key of ['base', 'checkpoint', 'vae', 'out'] as const) {
    const value = config[key];
    if (value !== undefined) resolved[key] = resolvePath(value, folder);
  }
  if (typeof motionModule === 'string') resolved.motionModule = resolvePath(motionModule, folder);
  else if (motionModule)
    resolved.motionModule = { ...motionModule, path: resolvePath(motionModule.path, folder) };
  if (loras) {
    resolved.loras = loras.map((lora) =>
      typeof lora === 'string'
        ? resolvePath(lora, folder)
        : { ...lora, path: resolvePath(lora.path, folder) },
    );
  }
  if (embeddings) {
    resolved.embeddings = embeddings.map((embedding) =>
      typeof embedding === 'string'
        ? resolvePath(embedding, folder)
        : { ...embedding, path: resolvePath(embedding.path, folder) },
    );
  }
  return resolved;
}
