/**
 * Questions to the Hugging Face hub, asked with its official client: which commit a revision is at, and which
 * files that has. The client downloads nothing here, since it neither resumes nor checks what it downloads.
 */
import { readFile } from 'node:fs/promises';
import type { Dispatcher } from 'undici';
import { AnimateDiffError } from '../errors.ts';
import { type Access, refused } from './access.ts';
import type { Checksum } from './checksum.ts';
import { gaveUp, httpClient, request, unreachable, withRetries } from './http.ts';
import { type HubSource, isInside } from './source.ts';

/** A file of a repository. */
export type HubFile = Checksum & { readonly path: string; readonly bytes: number };

/** A repository at one commit. */
export interface HubListing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
}

/** What a listing says about a file, as far as it is used. */
interface ListedFile {
  readonly type?: string;
  readonly path?: string;
  readonly size?: number;
  /** Hash in git's own database. */
  readonly oid?: string;
  /** Of a large file: its SHA-256. */
  readonly lfs?: { readonly oid: string; readonly size: number };
}

/** The token of the environment, else the one that `hf auth login` saved. */
export async function hubToken({ environment }: Access): Promise<string | undefined> {
  const { token, tokenFile } = environment.huggingFace;
  if (token !== undefined) return token;
  return (await readFile(tokenFile, 'utf8').catch(() => '')).trim() || undefined;
}

/**
 * The files of a repository at the commit that a revision is at.
 *
 * @throws ERR_DOWNLOAD, with what to do about a missing, private or gated repository.
 */
export async function listRepo(source: HubSource, access: Access): Promise<HubListing> {
  const { modelInfo, listFiles } = await import('@huggingface/hub');
  const { endpoint: hubUrl } = access.environment.huggingFace;
  const token = await hubToken(access);
  const client = httpClient(access.environment.proxy, access.stall);
  const question = { hubUrl, fetch: hubFetch(hubUrl, token, client, access) };
  const { repo, revision } = source;
  try {
    const { sha } = await modelInfo({ name: repo, revision, additionalFields: ['sha'], ...question });
    if (!/^[0-9a-f]{40}$/.test(sha)) throw new Error(`no commit of ${repo}`);
    const files = new Map<string, HubFile>();
    for await (const entry of listFiles({ repo, revision: sha, recursive: true, ...question })) {
      const file = readEntry(entry);
      if (file !== undefined) files.set(file.path, file);
    }
    return { commit: sha, files };
  } catch (error) {
    access.signal?.throwIfAborted();
    if (error instanceof AnimateDiffError) throw error;
    const { statusCode, message } = error as Error & { readonly statusCode?: unknown };
    if (typeof statusCode === 'number') throw refusedByHub(source, statusCode, token !== undefined, error);
    throw unreachable(hubUrl, `its answer is not that of a hub (${message})`, { cause: error });
  } finally {
    await client.destroy();
  }
}

/** `fetch` for the client: with our proxies, retries and token. */
function hubFetch(
  hubUrl: string,
  token: string | undefined,
  dispatcher: Dispatcher,
  access: Access,
): typeof fetch {
  const { origin } = new URL(hubUrl);
  const ask = async (input: string | URL | Request, init?: RequestInit) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = new Headers(init?.headers);
    // The client takes tokens of the hub itself only, and a mirror may have others.
    if (token !== undefined && new URL(url).origin === origin)
      headers.set('authorization', `Bearer ${token}`);
    const attempt = () =>
      request(url, {
        method: init?.method,
        body: typeof init?.body === 'string' ? init.body : undefined,
        headers: Object.fromEntries(headers),
        signal: access.signal,
        dispatcher,
      });
    return await withRetries(attempt, (failure) => gaveUp(url, failure), access);
  };
  // undici's fetch and Node's are the same code with types of different packages.
  return ask as unknown as typeof fetch;
}

/** A file that can be checked and that stays in its folder; whatever else a listing has is left out. */
function readEntry({ type, path, size, lfs, oid }: ListedFile): HubFile | undefined {
  if (type !== 'file' || path === undefined || !isInside(path)) return undefined;
  const bytes = lfs?.size ?? size;
  if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 0) return undefined;
  if (lfs !== undefined) return /^[0-9a-f]{64}$/.test(lfs.oid) ? { path, bytes, sha256: lfs.oid } : undefined;
  return /^[0-9a-f]{40}$/.test(oid ?? '') ? { path, bytes, gitOid: oid ?? '' } : undefined;
}

/** What an answer of the hub means. It answers 401 for what does not exist, too. */
export function refusedByHub(source: HubSource, status: number, hasToken: boolean, cause: unknown): Error {
  const { repo, revision } = source;
  const page = `https://huggingface.co/${repo}`;
  const sentences: Readonly<Record<number, string>> = {
    401: hasToken
      ? `the hub does not accept the token. Check HF_TOKEN (https://huggingface.co/settings/tokens), and that ${page} exists.`
      : `the hub asks for a login: the repository does not exist, is private or is gated. Check the name; for a gated model accept its licence at ${page}, then set HF_TOKEN to a token of https://huggingface.co/settings/tokens.`,
    403: hasToken
      ? `access is denied to the owner of the token. Accept the licence of the model at ${page} with the same account, and give the token the right to read gated repositories.`
      : `access is denied. Accept the licence of the model at ${page}, then set HF_TOKEN to a token of https://huggingface.co/settings/tokens.`,
    404: `the repository or its revision '${revision}' does not exist. Check ${page}.`,
  };
  return refused(source, status, sentences[status] ?? `the hub answered ${status}. Try again later.`, cause);
}
