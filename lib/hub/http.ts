/**
 * Requests over http(s): proxies, timeouts, and new attempts after failures that pass. What is asked and
 * what is done with the answer is up to the callers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Dispatcher, EnvHttpProxyAgent, fetch, type RequestInit, type Response } from 'undici';
import type { Environment } from '../environment.ts';
import { AnimateDiffError } from '../errors.ts';

export type ProxySettings = Environment['proxy'];

export interface RetryOptions {
  readonly signal?: AbortSignal;
  /** Pauses before each new attempt, in milliseconds; their number is the number of retries in a row. */
  readonly pauses?: readonly number[];
}

const PAUSES = [1000, 2000, 4000, 8000, 16_000];
const CONNECT_TIMEOUT = 15_000;
const STALL_TIMEOUT = 60_000;

/** Longest wait in milliseconds that a server may ask for; more is told to the user instead. */
const LONGEST_WAIT = 120_000;

/** Statuses after which the same request can succeed later. */
const PASSING_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A failure that a new attempt can cure. */
export class PassingFailure extends Error {
  /** Milliseconds that the server asks to wait. */
  readonly wait: number;
  /** Status of the answer, if there was one. */
  readonly status: number | undefined;

  constructor(message: string, options: { cause?: unknown; wait?: number; status?: number } = {}) {
    super(message, { cause: options.cause });
    this.wait = options.wait ?? 0;
    this.status = options.status;
  }
}

/** HTTP client that honours the proxies of `proxy`. `stall`: milliseconds without a byte, default 60 000. */
export function httpClient(proxy: ProxySettings, stall: number = STALL_TIMEOUT): Dispatcher {
  return new EnvHttpProxyAgent({
    httpProxy: proxy.http ?? '',
    httpsProxy: proxy.https ?? '',
    noProxy: proxy.except ?? '',
    connect: { timeout: CONNECT_TIMEOUT },
    headersTimeout: stall,
    bodyTimeout: stall,
  });
}

/**
 * One request. Any answer comes back, except those that a later attempt can change.
 *
 * @throws PassingFailure; `signal.reason` on abort.
 */
export async function request(
  url: string,
  init: RequestInit & { readonly dispatcher: Dispatcher },
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (cause) {
    init.signal?.throwIfAborted();
    throw new PassingFailure(describeFailure(cause), { cause });
  }
  if (!PASSING_STATUSES.has(response.status)) return response;
  await response.body?.cancel();
  const { status } = response;
  throw new PassingFailure(describeStatus(response), { status, wait: retryAfter(response) });
}

/** `the server answered 404 Not Found`. */
export function describeStatus({ status, statusText }: Response): string {
  return `the server answered ${status} ${statusText}`.trim();
}

/** Milliseconds of a `Retry-After` header: a number of seconds, or a date. */
function retryAfter(response: Response): number {
  const text = response.headers.get('retry-after');
  if (text === null) return 0;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? 0 : Math.max(0, seconds * 1000);
}

/**
 * Runs `attempt` until it succeeds, fails for good, or the pauses are used up. `advanced` says after a
 * failure whether the attempt brought something, which starts the count anew: a slow line is not a broken
 * one.
 *
 * @throws what `giveUp` makes of the last passing failure; `signal.reason` on abort.
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  giveUp: (failure: PassingFailure) => Error,
  { signal, pauses = PAUSES, advanced }: RetryOptions & { readonly advanced?: () => Promise<boolean> } = {},
): Promise<T> {
  for (let count = 0; ; count++) {
    try {
      return await attempt();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof PassingFailure)) throw error;
      if (await advanced?.()) count = -1;
      const pause = pauses[Math.max(count, 0)];
      if (pause === undefined || error.wait > LONGEST_WAIT) throw giveUp(error);
      await sleep(Math.max(pause, error.wait), undefined, { signal }).catch(() => {
        throw signal?.reason;
      });
    }
  }
}

/** The error for an address that cannot be fetched. */
export function unreachable(
  url: string,
  reason: string,
  { cause, status }: { cause?: unknown; status?: number } = {},
): AnimateDiffError {
  return new AnimateDiffError(
    'ERR_DOWNLOAD',
    `Cannot fetch ${url}: ${reason}. Check the network; proxies are taken from HTTPS_PROXY and NO_PROXY.`,
    { cause, details: { url, reason, status } },
  );
}

/** The error after the last attempt; a server that asks to wait is told with its wait. */
export function gaveUp(url: string, failure: PassingFailure): AnimateDiffError {
  const { message, wait, status, cause } = failure;
  const advice = wait > 0 ? ` and asks to wait ${Math.ceil(wait / 1000)} s` : '';
  return unreachable(url, `${message}${advice}`, { cause, status });
}

/** fetch says “fetch failed” and hides the reason in its cause. */
export function describeFailure(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code || message : message;
}
