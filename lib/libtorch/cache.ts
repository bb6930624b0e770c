/**
 * The folder that `install` fills: one LibTorch per version, each with a manifest that was written before
 * the folder got its name, so that a folder with a manifest is complete.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** Name of the manifest in the folder of an installed LibTorch. */
export const MANIFEST = 'manifest.json';

/** What `install` records about a LibTorch. */
export interface Manifest {
  readonly version: string;
  readonly device: 'cpu' | 'cuda';
  /** When it was installed, ISO 8601 in UTC. */
  readonly installed: string;
  /** The downloads it was unpacked from. */
  readonly artefacts: readonly { readonly url: string; readonly bytes: number; readonly sha256: string }[];
  /** Its libraries, with paths relative to the manifest. */
  readonly libraries: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

/** A LibTorch in the cache. */
export interface CachedLibTorch {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** Folder of all installed versions of LibTorch in `cacheFolder`. */
export function libtorchCache(cacheFolder: string): string {
  return path.join(cacheFolder, 'libtorch');
}

/** All complete installations in `cacheFolder`, and a sentence about each damaged one. */
export function cachedLibTorches(cacheFolder: string): {
  readonly found: readonly CachedLibTorch[];
  readonly damaged: readonly string[];
} {
  const parent = libtorchCache(cacheFolder);
  const found: CachedLibTorch[] = [];
  const damaged: string[] = [];
  for (const name of folderNames(parent)) {
    const folder = path.join(parent, name);
    const cached = readCached(folder);
    if (typeof cached === 'string') damaged.push(cached);
    else found.push({ folder, manifest: cached });
  }
  return { found, damaged };
}

/** The manifest of `folder`, or a sentence about what is wrong with it. Compares sizes, not hashes. */
export function readCached(folder: string): Manifest | string {
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(path.join(folder, MANIFEST), 'utf8')) as Manifest;
  } catch {
    return `${folder} has no readable ${MANIFEST}`;
  }
  if (!Array.isArray(manifest.libraries)) return `${path.join(folder, MANIFEST)} lists no libraries`;
  const broken = manifest.libraries.find(
    (library) => statSync(path.join(folder, library.path), { throwIfNoEntry: false })?.size !== library.bytes,
  );
  return broken === undefined ? manifest : `${path.join(folder, broken.path)} is damaged`;
}

/** Names of the version folders; dot folders are locks and unfinished installations. */
function folderNames(parent: string): readonly string[] {
  try {
    return readdirSync(parent, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .sort();
  } catch {
    return [];
  }
}
