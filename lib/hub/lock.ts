/**
 * Lets one process at a time do a task that writes into a shared folder. A lock is a file that its holder
 * touches every few seconds; when the holder is gone, the next one takes it over. The lock saves double work;
 * what it guards must still be safe (unique temporary names, atomic renames), since the clocks of a network
 * file system or a suspended machine can make a live lock look dead.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface LockOptions {
  readonly signal?: AbortSignal;
  /** Called once when another process holds the lock. */
  readonly onWait?: (holder: string) => void;
  /** Milliseconds between two looks at a lock that is held. Default 500. */
  readonly poll?: number;
  /** Milliseconds without a touch after which a lock counts as left behind. Default 60 000. */
  readonly stale?: number;
}

interface Holder {
  readonly token: string;
  readonly host: string;
  readonly pid: number;
}

const HEARTBEAT = 5000;

/** Runs `task` while holding the lock `file`; the lock is released however the task ends. */
export async function withLock<T>(
  file: string,
  task: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const token = await acquire(file, options);
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => {});
  }, HEARTBEAT);
  heartbeat.unref();
  try {
    return await task();
  } finally {
    clearInterval(heartbeat);
    if ((await readHolder(file))?.token === token) await rm(file, { force: true });
  }
}

async function acquire(file: string, options: LockOptions): Promise<string> {
  const token = randomUUID();
  const holder: Holder = { token, host: os.hostname(), pid: process.pid };
  await mkdir(path.dirname(file), { recursive: true });
  // A lock appears with its content: it is written under another name and linked.
  const draft = `${file}.${token}`;
  await writeFile(draft, JSON.stringify(holder));
  try {
    for (let waited = false; ; waited = true) {
      options.signal?.throwIfAborted();
      if (await linked(draft, file)) return token;
      const other = await readHolder(file);
      if (await isStale(file, other, options.stale ?? 60_000)) {
        await takeAway(file, other?.token);
        continue;
      }
      if (!waited)
        options.onWait?.(other === undefined ? 'another process' : `process ${other.pid} on ${other.host}`);
      await sleep(options.poll ?? 500, undefined, { signal: options.signal }).catch(() => {});
    }
  } finally {
    await rm(draft, { force: true });
  }
}

async function linked(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    const holder = JSON.parse(await readFile(file, 'utf8')) as Holder | null;
    return typeof holder?.token === 'string' && Number.isInteger(holder.pid) ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** A lock without a holder is one whose content a crash lost; only its age tells then. */
async function isStale(file: string, holder: Holder | undefined, limit: number): Promise<boolean> {
  if (holder !== undefined && holder.host === os.hostname() && !isAlive(holder.pid)) return true;
  const touched = await stat(file).catch(() => undefined);
  return touched !== undefined && Date.now() - touched.mtimeMs > limit;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes the lock of `token`, and gives it back if another process has replaced it meanwhile. */
async function takeAway(file: string, token: string | undefined): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  await rename(file, aside).catch(() => {});
  const taken = await readHolder(aside);
  if (taken !== undefined && taken.token !== token) await link(aside, file).catch(() => {});
  await rm(aside, { force: true });
}
