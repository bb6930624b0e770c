/**
 * Fetches a file of known hash: over http(s) with proxies, redirects, retries and resumption, or from a
 * file: address. A file under its final name is complete and has the expected hash; what was fetched so far
 * lies beside it as `.partial` and is continued by the next attempt or the next run.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Dispatcher, EnvHttpProxyAgent, fetch } from 'undici';
import type { Environment } from '../environment.ts';
import { AnimateDiffError } from '../errors.ts';

/** What to fetch. */
export interface Download {
  /** http:, https: or file: address. */
  readonly url: string;
  /** Expected SHA-256, 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  /** Expected size, if known. */
  readonly bytes?: number;
}

export interface DownloadOptions {
  /** Path of the file to write. */
  readonly target: string;
  readonly proxy: Environment['proxy'];
  readonly signal?: AbortSignal;
  /** Bytes that are there and bytes in total (undefined while unknown). */
  readonly onProgress?: (done: number, total: number | undefined) => void;
  /** Called when the transfer is over and the hash is being computed. */
  readonly onVerify?: () => void;
  /** Pauses before each new attempt, in milliseconds; their number is the number of retries in a row. */
  readonly pauses?: readonly number[];
}

const PAUSES = [1000, 2000, 4000, 8000, 16_000];
const CONNECT_TIMEOUT = 15_000;
const STALL_TIMEOUT = 60_000;

/** Statuses after which the same request can succeed later. */
const PASSING_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A failure that a new attempt can cure. */
class PassingFailure extends Error {}

/** HTTP client that honours the proxies of `proxy`. */
export function httpClient(proxy: Environment['proxy']): Dispatcher {
  return new EnvHttpProxyAgent({
    httpProxy: proxy.http ?? '',
    httpsProxy: proxy.https ?? '',
    noProxy: proxy.except ?? '',
    connect: { timeout: CONNECT_TIMEOUT },
    headersTimeout: STALL_TIMEOUT,
    bodyTimeout: STALL_TIMEOUT,
  });
}

/**
 * Fetches `download` to `options.target` and returns the path of the checked file: the target, or for a
 * file: address that file itself.
 *
 * @throws ERR_DOWNLOAD when it cannot be fetched, ERR_CHECKSUM when what came has another hash (it is
 * deleted then); `signal.reason` on abort, with what was fetched kept for the next run.
 */
export async function fetchFile(download: Download, options: DownloadOptions): Promise<string> {
  if (download.url.startsWith('file:')) return await checkLocal(download, options);
  await mkdir(path.dirname(options.target), { recursive: true });
  const partial = `${options.target}.partial`;
  // A run that ended between this rename and the use of the file left it here.
  if ((await sizeOf(options.target)) > 0) await rename(options.target, partial);
  await fetchWithRetries(download, partial, options);
  options.onVerify?.();
  const sha256 = await hashFile(partial, options.signal);
  if (sha256 !== download.sha256) {
    await rm(partial, { force: true });
    throw mismatch(
      download,
      sha256,
      'The file was deleted; try again, and check mirror and proxy if it happens again.',
    );
  }
  await rename(partial, options.target);
  return options.target;
}

/** SHA-256 of a file in lower-case hexadecimal digits. */
export async function hashFile(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { signal });
  return hash.digest('hex');
}

async function checkLocal(download: Download, options: DownloadOptions): Promise<string> {
  const file = fileURLToPath(download.url);
  const size = await stat(file).then(
    (found) => found.size,
    (cause: Error) => {
      throw unreachable(download.url, cause.message, cause);
    },
  );
  options.onProgress?.(size, size);
  options.onVerify?.();
  const sha256 = await hashFile(file, options.signal);
  if (sha256 !== download.sha256) throw mismatch(download, sha256, 'Replace the file by the right one.');
  return file;
}

function mismatch({ url, sha256: expected }: Download, sha256: string, remedy: string): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_CHECKSUM',
    `${url} has the SHA-256 ${sha256}, expected ${expected}. ${remedy}`,
    {
      details: { url, expected, seen: sha256 },
    },
  );
}

async function fetchWithRetries(
  download: Download,
  partial: string,
  options: DownloadOptions,
): Promise<void> {
  const client = httpClient(options.proxy);
  const pauses = options.pauses ?? PAUSES;
  try {
    for (let attempt = 0; ; attempt++) {
      const before = await sizeOf(partial);
      try {
        return await fetchRest(download, partial, client, options);
      } catch (error) {
        if (options.signal?.aborted) throw options.signal.reason;
        if (!(error instanceof PassingFailure)) throw error;
        // An attempt that brought something starts the count anew: a slow line is not a broken one.
        if ((await sizeOf(partial)) > before) attempt = -1;
        const pause = pauses[Math.max(attempt, 0)];
        if (pause === undefined) throw unreachable(download.url, error.message, error.cause);
        await sleep(pause, undefined, { signal: options.signal });
      }
    }
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
  const response = await request(download.url, have, client, options.signal);
  if (response.status === 416) {
    // The part is longer than the file: it belongs to another file.
    await rm(partial, { force: true });
    throw new PassingFailure('the server has less than was fetched before');
  }
  const start = response.status === 206 ? have : 0;
  const length = Number(response.headers.get('content-length') ?? Number.NaN);
  const total = Number.isNaN(length) ? download.bytes : start + length;
  if (download.bytes !== undefined && total !== download.bytes) {
    await rm(partial, { force: true });
    throw unreachable(download.url, `the server offers ${total} bytes, expected ${download.bytes}`);
  }
  let done = start;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, forward) {
      done += chunk.length;
      options.onProgress?.(done, total);
      forward(null, chunk);
    },
  });
  const body = response.body === null ? Readable.from([]) : Readable.fromWeb(response.body);
  try {
    await pipeline(body, meter, createWriteStream(partial, { flags: start > 0 ? 'a' : 'w' }), {
      signal: options.signal,
    });
  } catch (cause) {
    throw isLocal(cause) ? unwritable(partial, cause) : new PassingFailure(describe(cause), { cause });
  }
  if (total !== undefined && done < total)
    throw new PassingFailure(`it ended after ${done} of ${total} bytes`);
}

async function request(url: string, from: number, dispatcher: Dispatcher, signal: AbortSignal | undefined) {
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (from > 0) headers.range = `bytes=${from}-`;
  let response: Awaited<ReturnType<typeof fetch>>;
  try {
    response = await fetch(url, { headers, dispatcher, signal });
  } catch (cause) {
    throw new PassingFailure(describe(cause), { cause });
  }
  if (response.ok || response.status === 416) return response;
  await response.body?.cancel();
  const status = `the server answered ${response.status} ${response.statusText}`.trim();
  throw PASSING_STATUSES.has(response.status) ? new PassingFailure(status) : unreachable(url, status);
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

function isLocal(error: unknown): boolean {
  return ['ENOSPC', 'EACCES', 'EDQUOT', 'EROFS', 'EIO', 'EFBIG'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  );
}

function unwritable(file: string, cause: unknown): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_DOWNLOAD',
    `Cannot write ${file}: ${(cause as Error).message}. Make room, or set ANIMATEDIFF_CACHE to another folder.`,
    { cause, details: { file } },
  );
}

function unreachable(url: string, reason: string, cause?: unknown): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_DOWNLOAD',
    `Cannot fetch ${url}: ${reason}. Check the network; proxies are taken from HTTPS_PROXY and NO_PROXY.`,
    { cause, details: { url, reason } },
  );
}

/** fetch says “fetch failed” and hides the reason in its cause. */
function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code || message : message;
}
