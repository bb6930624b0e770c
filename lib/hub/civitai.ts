/** Brings the main file of a model version of CivitAI into this package's cache. */
import type { Response } from 'undici';
import { AnimateDiffError } from '../errors.ts';
import { type Access, notCached, refused, statusOf } from './access.ts';
import {
  describeFailure,
  describeStatus,
  gaveUp,
  httpClient,
  PassingFailure,
  request,
  unreachable,
  withRetries,
} from './http.ts';
import { ownFolder, readStored, safeName, store } from './own-cache.ts';
import type { CivitaiSource } from './source.ts';

/** A file of a version, as far as it is used; nothing of it is certain. */
interface VersionFile {
  readonly name?: unknown;
  readonly type?: unknown;
  readonly primary?: unknown;
  readonly hashes?: { readonly SHA256?: unknown };
}

/**
 * Absolute path of the file in the cache; without a network request if it is there. A version never changes,
 * so there is nothing to refresh.
 *
 * @throws ERR_DOWNLOAD, ERR_CHECKSUM; `signal.reason` on abort.
 */
export async function resolveCivitai(source: CivitaiSource, access: Access): Promise<string> {
  const folder = ownFolder(access.environment.cacheFolder, source);
  const stored = await readStored(folder);
  if (stored !== undefined) return stored.file;
  if (access.offline) throw notCached(source);
  const { endpoint, token } = access.environment.civitai;
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    const { name, sha256 } = await describeVersion(source, headers, access);
    const url = `${endpoint}/api/download/models/${source.version}`;
    return await store({ source, folder, name, download: { url, sha256 }, headers, refuse: isPage }, access);
  } catch (error) {
    const status = statusOf(error);
    const sentence = status === undefined ? undefined : explain(status, token !== undefined);
    throw sentence === undefined ? error : refused(source, status, sentence, error);
  }
}

/** Whoever is not logged in is sent to a page, which is an answer like any other. */
function isPage(response: Response): string | undefined {
  const type = response.headers.get('content-type') ?? '';
  return /^text\/html\b/.test(type)
    ? `it answered with a page, ${response.url}, instead of a file`
    : undefined;
}

/** What an answer means; 200 is that of the page of a login. */
function explain(status: number, hasToken: boolean): string | undefined {
  const make = 'Make a token at https://civitai.com/user/account (API keys) and set CIVITAI_TOKEN to it.';
  switch (status) {
    case 200:
    case 401:
      return hasToken
        ? 'CivitAI does not accept the token. Check CIVITAI_TOKEN (https://civitai.com/user/account, API keys).'
        : `its creator lets only users who are logged in download it. ${make}`;
    case 403:
      return hasToken
        ? 'CivitAI denies access to the owner of the token: the version may be in early access or withdrawn. Look at its page.'
        : `CivitAI denies access. ${make}`;
    case 404:
    case 410:
      return 'CivitAI has no such version, or no longer. The number is that after modelVersionId= in the address of a version, not that of the model.';
    default:
      return undefined;
  }
}

async function describeVersion(
  { version }: CivitaiSource,
  headers: Record<string, string>,
  access: Access,
): Promise<{ readonly name: string; readonly sha256: string }> {
  const url = `${access.environment.civitai.endpoint}/api/v1/model-versions/${version}`;
  access.onProgress?.({
    phase: 'look-up',
    source: `civitai:${version}`,
    name: version,
    done: 0,
    total: undefined,
  });
  const files = await askForFiles(url, headers, access);
  const file = mainFile(files);
  const sha256 = typeof file?.hashes?.SHA256 === 'string' ? file.hashes.SHA256.toLowerCase() : '';
  if (file === undefined || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new AnimateDiffError(
      'ERR_DOWNLOAD',
      `civitai:${version} has no file with a SHA-256, so that nobody could tell whether it arrived whole. Download it with a browser and give its path.`,
      { details: { source: `civitai:${version}` } },
    );
  }
  return { name: safeName(String(file.name ?? ''), `${version}.safetensors`), sha256 };
}

/** The file that a download of the version gives: the primary one, else the first model. */
function mainFile(files: readonly VersionFile[]): VersionFile | undefined {
  return (
    files.find(({ primary }) => primary === true) ?? files.find(({ type }) => type === 'Model') ?? files[0]
  );
}

async function askForFiles(
  url: string,
  headers: Record<string, string>,
  access: Access,
): Promise<readonly VersionFile[]> {
  const dispatcher = httpClient(access.environment.proxy, access.stall);
  const attempt = async () => {
    const response = await request(url, { headers, dispatcher, signal: access.signal });
    if (!response.ok) {
      await response.body?.cancel();
      throw unreachable(url, describeStatus(response), { status: response.status });
    }
    try {
      return (await response.json()) as { readonly files?: unknown } | null;
    } catch (cause) {
      access.signal?.throwIfAborted();
      throw new PassingFailure(`its answer is no JSON (${describeFailure(cause)})`, { cause });
    }
  };
  try {
    const answer = await withRetries(attempt, (failure) => gaveUp(url, failure), access);
    return Array.isArray(answer?.files) ? (answer.files as VersionFile[]) : [];
  } finally {
    await dispatcher.destroy();
  }
}
