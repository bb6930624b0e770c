/** What every way to a file needs: who asks, over which network, and who is told how it goes on. */
import type { Environment } from '../environment.ts';
import { AnimateDiffError } from '../errors.ts';
import type { RetryOptions } from './http.ts';
import { type RemoteSource, showSource } from './source.ts';

/** How the way to a file goes on. */
export interface SourceProgress {
  /** `look-up`: what there is. `wait`: for another process that fetches the same. */
  readonly phase: 'look-up' | 'wait' | 'download' | 'verify';
  /** The source as users write it. */
  readonly source: string;
  /** Name of the file; for `wait` the process that is waited for. */
  readonly name: string;
  /** Bytes done, and in total (undefined while unknown). */
  readonly done: number;
  readonly total: number | undefined;
}

export interface Access extends RetryOptions {
  readonly environment: Environment;
  /** Take only what is in the caches. */
  readonly offline: boolean;
  /** Ask whether a branch has moved, even if what it was at the last time is in the cache. */
  readonly refresh: boolean;
  readonly stall?: number;
  readonly onProgress?: (progress: SourceProgress) => void;
}

/** The error for what is not in the cache when the network must not be used. */
export function notCached(source: RemoteSource): AnimateDiffError {
  const text = showSource(source);
  return new AnimateDiffError(
    'ERR_DOWNLOAD',
    `${text} is not in the cache, and downloads are off. Run \`animatediff-native pull ${text}\` with a network, or unset HF_HUB_OFFLINE.`,
    { details: { source: text, offline: true } },
  );
}

/** The status of the answer that an error is about. */
export function statusOf(error: unknown): number | undefined {
  const status = error instanceof AnimateDiffError ? error.details.status : undefined;
  return typeof status === 'number' ? status : undefined;
}

/** The error for an answer that refuses a source, with what to do about it. */
export function refused(
  source: RemoteSource,
  status: number | undefined,
  sentence: string,
  cause: unknown,
): AnimateDiffError {
  const text = showSource(source);
  return new AnimateDiffError('ERR_DOWNLOAD', `${text}: ${sentence}`, {
    cause,
    details: { source: text, status },
  });
}
