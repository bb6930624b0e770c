/**
 * Which files of a diffusers folder are read: configs and one set of weights for each network. The rest of a
 * repository (other precisions, safety checker, tokenizer, single-file copies) is left where it is.
 */
import path from 'node:path';
import { COMPONENTS, type JsonObject, WEIGHT_NAMES } from '../weights/folder.ts';
import { isInside } from './source.ts';

/** A folder, known by the names of its files with `/` between folders, and able to read its JSON files. */
export interface FolderView {
  readonly names: ReadonlySet<string>;
  readonly readJson: (name: string) => Promise<JsonObject>;
}

/**
 * Names of the files to read, or what is missing for a diffusers folder, as the end of “it has …”.
 */
export async function diffusersFiles(
  folder: FolderView,
): Promise<{ readonly files: readonly string[] } | { readonly missing: string }> {
  const own = await weightFiles(folder, '');
  if (typeof own !== 'string') return { files: own };
  const index = folder.names.has('model_index.json') ? await folder.readJson('model_index.json') : undefined;
  const components = COMPONENTS.filter((name) =>
    index === undefined ? hasFolder(folder, name) : isListed(index[name]),
  );
  if (!components.includes('unet')) return { missing: 'no model_index.json with a unet, and no weights' };
  const files = ['model_index.json', 'scheduler/scheduler_config.json'].filter((name) =>
    folder.names.has(name),
  );
  for (const component of components) {
    const found = await weightFiles(folder, `${component}/`);
    if (typeof found === 'string') return { missing: found };
    files.push(...found);
  }
  return { files };
}

/** `["diffusers", "UNet2DConditionModel"]`; `[null, null]` for a component that was left out. */
function isListed(entry: unknown): boolean {
  return Array.isArray(entry) && typeof entry[1] === 'string';
}

function hasFolder(folder: FolderView, component: string): boolean {
  return [...folder.names].some((name) => name.startsWith(`${component}/`));
}

/** Config and weights under `prefix`, with all shards; or what is missing. */
async function weightFiles(folder: FolderView, prefix: string): Promise<string[] | string> {
  const name = WEIGHT_NAMES.map((candidate) => prefix + candidate).find((file) => folder.names.has(file));
  if (name === undefined) return `no ${prefix}diffusion_pytorch_model.safetensors or another name of it`;
  const config = `${prefix}config.json`;
  const files = folder.names.has(config) ? [config, name] : [name];
  if (!name.endsWith('.json')) return files;
  const map = (await folder.readJson(name)).weight_map;
  const shards = new Set(Object.values(typeof map === 'object' && map !== null ? map : {}));
  if (shards.size === 0) return `no weight_map in ${name}`;
  for (const shard of shards) {
    if (typeof shard !== 'string' || !isInside(shard) || path.posix.basename(shard) !== shard)
      return `a weight_map in ${name} that names files elsewhere`;
    if (!folder.names.has(prefix + shard)) return `no ${prefix}${shard}, which ${name} names`;
    files.push(prefix + shard);
  }
  return files;
}
