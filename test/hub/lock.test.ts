import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withLock } from '../../lib/hub/lock.ts';
import { temporaryFolder } from '../libtorch/support/folders.ts';

const FAST = { poll: 5 };

function lockPath(): string {
  return path.join(temporaryFolder(), 'cache', '.lock');
}

/** A lock as a process of this machine leaves it. */
function writeLock(file: string, holder: { readonly pid: number; readonly host?: string }): void {
  writeFileSync(file, JSON.stringify({ token: 'other', host: os.hostname(), ...holder }));
}

describe('a lock', () => {
  it('lets one at a time in', async () => {
    const file = lockPath();
    let inside = 0;
    let most = 0;
    const task = async () => {
      inside++;
      most = Math.max(most, inside);
      await sleep(10);
      inside--;
    };
    await Promise.all([1, 2, 3, 4].map(() => withLock(file, task, FAST)));
    assert.equal(most, 1);
    assert.deepEqual(readdirSync(path.dirname(file)), []);
  });

  it('is released when the task fails', async () => {
    const file = lockPath();
    await assert.rejects(
      withLock(file, () => Promise.reject(new Error('failed'))),
      /failed/,
    );
    assert.equal(existsSync(file), false);
    assert.equal(await withLock(file, async () => 'done'), 'done');
  });

  it('of a process that is gone is taken over at once', async () => {
    const file = lockPath();
    await withLock(file, async () => {});
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    writeLock(file, { pid });
    assert.equal(
      await withLock(file, async () => 'done', { signal: AbortSignal.timeout(2000), ...FAST }),
      'done',
    );
  });

  it('that nobody touches any more is taken over, whoever held it', async () => {
    const file = lockPath();
    await withLock(file, async () => {});
    writeLock(file, { pid: 1, host: 'another-machine' });
    const past = new Date(Date.now() - 120_000);
    utimesSync(file, past, past);
    assert.equal(
      await withLock(file, async () => 'done', { signal: AbortSignal.timeout(2000), ...FAST }),
      'done',
    );
  });

  it('whose content a crash lost is taken over when nobody touches it any more', async () => {
    for (const content of ['', 'null', '{"token":"other"}', '\0\0\0\0']) {
      const file = lockPath();
      await withLock(file, async () => {});
      writeFileSync(file, content);
      const young = withLock(file, async () => 'done', { signal: AbortSignal.timeout(60), ...FAST });
      await assert.rejects(young, { name: 'TimeoutError' });
      const past = new Date(Date.now() - 120_000);
      utimesSync(file, past, past);
      const old = withLock(file, async () => 'done', { signal: AbortSignal.timeout(2000), ...FAST });
      assert.equal(await old, 'done', JSON.stringify(content));
    }
  });

  it('of a living process is waited for, and the holder is named once', async () => {
    const file = lockPath();
    await withLock(file, async () => {});
    writeLock(file, { pid: process.pid });
    const holders: string[] = [];
    const stop = AbortSignal.timeout(60);
    const waiting = withLock(file, async () => 'done', {
      signal: stop,
      onWait: (name) => holders.push(name),
      ...FAST,
    });
    await assert.rejects(waiting, { name: 'TimeoutError' });
    assert.deepEqual(holders, [`process ${process.pid} on ${os.hostname()}`]);
    assert.deepEqual(readdirSync(path.dirname(file)), ['.lock']);
  });
});
