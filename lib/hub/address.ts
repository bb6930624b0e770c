/** Brings the file at any http(s) address into this package's cache. */
import { type Access, notCached } from './access.ts';
import { ownFolder, readStored, safeName, store } from './own-cache.ts';
import type { UrlSource } from './source.ts';

/**
 * Absolute path of the file in the cache; without a network request if it is there.
 *
 * @throws ERR_DOWNLOAD, ERR_CHECKSUM; `signal.reason` on abort.
 */
export async function resolveUrl(source: UrlSource, access: Access): Promise<string> {
  const { url, sha256 } = source;
  const folder = ownFolder(access.environment.cacheFolder, source);
  const stored = await readStored(folder);
  if (stored !== undefined) return stored.file;
  if (access.offline) throw notCached(source);
  const name = safeName(decodePath(new URL(url).pathname), `${sha256.slice(0, 12)}.safetensors`);
  return await store({ source, folder, name, download: { url, sha256 } }, access);
}

function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
