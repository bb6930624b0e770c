/**
 * Fetches a file of known hash: over http(s) with proxies, redirects, retries and resumption, or from a
 * file: address. A file under its final name is complete and has the expected hash; what was fetched so far
 * lies beside it as `.partial` and is continued by the next attempt or the next run.
 */
import { type FileHandle, mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Dispatcher, Response } from 'undici';
import { AnimateDiffError } from '../errors.ts';
import { type Checksum, checksumDigest, checksumName, hashFile } from './checksum.ts';
import {
  describeFailure,
  describeStatus,
  gaveUp,
  httpClient,
  PassingFailure,
  type ProxySettings,
  type RetryOptions,
  request,
  unreachable,
  withRetries,
} from './http.ts';
import { type Reception, withLateFailures } from './late-failure.ts';

/** What to fetch: a http:, https: or file: address, the hash, and the size in bytes if it is known. */
export type Download = Checksum & { readonly url: string; readonly bytes?: number };

export interface DownloadOptions extends RetryOptions {
  /** Path of the file to write. */
  readonly target: string;
  readonly proxy: ProxySettings;
  /** Sent with the request, and not to another host that it is redirected to (`authorization`). */
  readonly headers?: Readonly<Record<string, string>>;
  /** Says what is wrong with an answer that is not the file, such as the page of a login. */
  readonly refuse?: (response: Response) => string | undefined;
  /** Variable that moves `target` to another disk. Default `ANIMATEDIFF_CACHE`. */
  readonly cacheVariable?: string;
  /** Milliseconds without a byte after which a connection counts as broken. Default 60 000. */
  readonly stall?: number;
  /** Bytes that are there and bytes in total (undefined while unknown). */
  readonly onProgress?: (done: number, total: number | undefined) => void;
  /** Called when the transfer is over and the hash is being computed. */
  readonly onVerify?: () => void;
}

/**
 * Fetches `download` to `options.target` and returns the path of the checked file: the target, or for a
 * file: address that file itself.
 *
 * @throws ERR_DOWNLOAD when it cannot be fetched (with the `status` of the answer in its details),
 * ERR_CHECKSUM when what came has another hash (it is deleted then); `signal.reason` on abort, with what was
 * fetched kept for the next run.
 */
export async function fetchFile(download: Download, options: DownloadOptions): Promise<string> {
  if (download.url.startsWith('file:')) return await checkLocal(download, options);
  const { target } = options;
  await mkdir(path.dirname(target), { recursive: true }).catch((cause) => {
    throw unwritable(target, cause, options);
  });
  // Another program, or a run that ended before it used the file, may have left it here.
  if ((await sizeOf(target)) > 0 && (await digest(target, download, options)) === checksumDigest(download))
    return target;
  const partial = `${target}.partial`;
  const resumed = (await sizeOf(partial)) > 0;
  let found = await fetchPartial(download, partial, options);
  // A part that a crash damaged is no reason to give up.
  if (found !== undefined && resumed) found = await fetchPartial(download, partial, options);
  if (found !== undefined) {
    throw mismatch(
      download,
      found,
      'The file was deleted; try again, and check mirror and proxy if it happens again.',
    );
  }
  await flush(partial);
  await rename(partial, target);
  return target;
}

/** Completes `partial`. Returns its digest, and deletes it, if that is not the expected one. */
async function fetchPartial(
  download: Download,
  partial: string,
  options: DownloadOptions,
): Promise<string | undefined> {
  await fetchWithRetries(download, partial, options);
  const found = await digest(partial, download, options);
  if (found === checksumDigest(download)) return undefined;
  await rm(partial, { force: true });
  return found;
}

function digest(file: string, download: Download, options: DownloadOptions): Promise<string> {
  options.onVerify?.();
  return hashFile(file, download, options.signal);
}

async function checkLocal(download: Download, options: DownloadOptions): Promise<string> {
  const file = fileURLToPath(download.url);
  const size = await stat(file).then(
    (found) => found.size,
    (cause: Error) => {
      throw unreachable(download.url, cause.message, { cause });
    },
  );
  options.onProgress?.(size, size);
  const found = await digest(file, download, options);
  if (found !== checksumDigest(download))
    throw mismatch(download, found, 'Replace the file by the right one.');
  return file;
}

function mismatch(download: Download, found: string, remedy: string): AnimateDiffError {
  const expected = checksumDigest(download);
  return new AnimateDiffError(
    'ERR_CHECKSUM',
    `${download.url} has the ${checksumName(download)} ${found}, expected ${expected}. ${remedy}`,
    { details: { url: download.url, expected, seen: found } },
  );
}

async function fetchWithRetries(
  download: Download,
  partial: string,
  options: DownloadOptions,
): Promise<void> {
  const client = httpClient(options.proxy, options.stall);
  let before = 0;
  const attempt = async () => {
    before = await sizeOf(partial);
    await fetchRest(download, partial, client, options);
  };
  const advanced = async () => (await sizeOf(partial)) > before;
  try {
    await withRetries(attempt, (failure) => gaveUp(download.url, failure), { ...options, advanced });
  } finally {
    await client.destroy();
  }
}

/** One request for what is missing of `partial`. */
async function fetchRest(
  download: Download,
  partial: string,
  client: Dispatcher,
  options: DownloadOptions,
): Promise<void> {
  const have = await sizeOf(partial);
  if (download.bytes !== undefined && have === download.bytes) return;
  const reception: Reception = { received: 0, taken: 0 };
  const patient = withLateFailures(client, reception);
  const response = await requestRest(download.url, have, patient, options);
  if (response.status === 416 || !continues(response, have)) {
    await response.body?.cancel();
    // The part is longer than the file: it belongs to another file.
    await rm(partial, { force: true });
    throw new PassingFailure('the server has less than was fetched before');
  }
  const start = response.status === 206 ? have : 0;
  const length = Number(response.headers.get('content-length') ?? Number.NaN);
  const total = Number.isNaN(length) ? download.bytes : start + length;
  if (download.bytes !== undefined && total !== download.bytes) {
    await response.body?.cancel();
    await rm(partial, { force: true });
    throw unreachable(download.url, `the server offers ${total} bytes, expected ${download.bytes}`);
  }
  await assertRoom(partial, (total ?? 0) - start, options);
  const done = await writeBody(response, partial, { start, total, reception }, download, options);
  if (total !== undefined && done < total)
    throw new PassingFailure(`it ended after ${done} of ${total} bytes`);
}

/** Whether a part of a file begins where it was asked to. */
function continues(response: Response, have: number): boolean {
  const from = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  return response.status !== 206 || from === undefined || Number(from) === have;
}

/** Where an answer begins in a file, how long the file is, and how much of the answer came and is written. */
interface Piece {
  readonly start: number;
  readonly total: number | undefined;
  readonly reception: Reception;
}

/** Writes an answer to `partial` and returns how many bytes are there then; piece by piece, so that none is lost. */
async function writeBody(
  response: Response,
  partial: string,
  { start, total, reception }: Piece,
  download: Download,
  options: DownloadOptions,
): Promise<number> {
  let done = start;
  let file: FileHandle | undefined;
  try {
    file = await open(partial, start > 0 ? 'a' : 'w');
    for await (const chunk of response.body ?? []) {
      if (total !== undefined && done + chunk.length > total)
        throw unreachable(download.url, `it is longer than ${total} bytes`);
      await file.appendFile(chunk);
      done += chunk.length;
      reception.taken += chunk.length;
      options.onProgress?.(done, total);
    }
  } catch (cause) {
    if (cause instanceof AnimateDiffError) {
      await rm(partial, { force: true });
      throw cause;
    }
    if (isLocal(cause)) throw unwritable(partial, cause, options);
    throw new PassingFailure(describeFailure(cause), { cause });
  } finally {
    await file?.close();
  }
  return done;
}

async function requestRest(
  url: string,
  from: number,
  dispatcher: Dispatcher,
  { headers, signal, refuse }: DownloadOptions,
): Promise<Response> {
  const range = from > 0 ? { range: `bytes=${from}-` } : {};
  const response = await request(url, {
    headers: { ...headers, 'accept-encoding': 'identity', ...range },
    dispatcher,
    signal,
  });
  const reason = response.ok ? refuse?.(response) : describeStatus(response);
  if (reason === undefined || response.status === 416) return response;
  await response.body?.cancel();
  throw unreachable(url, reason, { status: response.status });
}

/** Flushes a file to the disk, so that its name never outlives its content. */
async function flush(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function assertRoom(file: string, needed: number, options: DownloadOptions): Promise<void> {
  const disk = await statfs(path.dirname(file)).catch(() => undefined);
  if (disk === undefined) return;
  const free = disk.bavail * disk.bsize;
  if (free >= needed) return;
  const gigabytes = (size: number) => `${(size / 1e9).toFixed(1)} GB`;
  const cause = new Error(`${gigabytes(needed)} are needed, and ${gigabytes(free)} are free`);
  throw unwritable(file, cause, options);
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

function isLocal(error: unknown): boolean {
  return ['ENOSPC', 'EACCES', 'EDQUOT', 'EROFS', 'EIO', 'EFBIG', 'EISDIR'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  );
}

function unwritable(file: string, cause: unknown, { cacheVariable }: DownloadOptions): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_DOWNLOAD',
    `Cannot write ${file}: ${(cause as Error).message}. Make room, or set ${cacheVariable ?? 'ANIMATEDIFF_CACHE'} to another folder.`,
    { cause, details: { file } },
  );
}
