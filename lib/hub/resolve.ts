/** From a source to a path on this machine: what is missing is fetched into a cache, checked, and stays there. */
import { stat } from 'node:fs/promises';
import { type Environment, readEnvironment } from '../environment.ts';
import { AnimateDiffError } from '../errors.ts';
import type { Access, SourceProgress } from './access.ts';
import { resolveUrl } from './address.ts';
import { resolveCivitai } from './civitai.ts';
import type { RetryOptions } from './http.ts';
import { resolveHub } from './hugging-face.ts';
import {
  absolutePath,
  type LocalSource,
  parseSource,
  type RemoteSource,
  type SourceInput,
} from './source.ts';

export type { SourceProgress } from './access.ts';

export interface ResolveOptions extends RetryOptions {
  /** Take only what is in the caches. Default: `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  /** Ask whether a branch of the hub has moved, even if the cache has what it was. Default false. */
  readonly refresh?: boolean;
  /** Folder that relative paths belong to. Default: that of the process. */
  readonly folder?: string;
  /** Milliseconds without a byte after which a connection counts as broken. Default 60 000. */
  readonly stall?: number;
  readonly onProgress?: (progress: SourceProgress) => void;
  /** Default: the process's own. */
  readonly environment?: Environment;
}

/**
 * Absolute path of the file or diffusers folder that a source names. What is in a cache is taken without
 * asking the network.
 *
 * @throws ERR_INVALID_ARGUMENT for what is no source, ERR_FILE_NOT_FOUND for a path that does not exist,
 * ERR_DOWNLOAD, ERR_CHECKSUM; `signal.reason` on abort, after which the next call goes on where this one was.
 */
export async function resolveSource(input: SourceInput, options: ResolveOptions = {}): Promise<string> {
  const source = parseSource(input);
  options.signal?.throwIfAborted();
  return source.kind === 'local' ? await resolveLocal(source, options) : await resolveRemote(source, options);
}

async function resolveLocal(
  source: LocalSource,
  { folder = process.cwd() }: ResolveOptions,
): Promise<string> {
  const file = absolutePath(source.path, folder);
  if ((await stat(file).catch(() => undefined)) !== undefined) return file;
  const meant = /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(source.path)
    ? ` For a repository of the Hugging Face hub write hf:${source.path}.`
    : '';
  throw new AnimateDiffError('ERR_FILE_NOT_FOUND', `${file} does not exist. Check the path.${meant}`, {
    details: { file },
  });
}

async function resolveRemote(source: RemoteSource, options: ResolveOptions): Promise<string> {
  const environment = options.environment ?? readEnvironment();
  const { offline = environment.offline, refresh = false, signal, pauses, stall, onProgress } = options;
  const access: Access = { environment, offline, refresh, signal, pauses, stall, onProgress };
  switch (source.kind) {
    case 'hf':
      return await resolveHub(source, access);
    case 'civitai':
      return await resolveCivitai(source, access);
    case 'url':
      return await resolveUrl(source, access);
  }
}
