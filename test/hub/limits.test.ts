/** Downloads in processes of their own that meet a limit of the system, and what the next process makes of it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type FakeHub, sha256, startHub } from './support/fake-hub.ts';

const DATA = randomBytes(3_000_000);
const FILES = { 'mm.ckpt': DATA };

/** Resolves a source in a child process; `limit` is the largest file that it may write, in KiB. */
function resolveIn(hub: FakeHub, limit: string, variables: Readonly<Record<string, string>> = {}) {
  const script = path.join(import.meta.dirname, 'support', 'resolve.ts');
  const command = `ulimit -f ${limit} && exec "$0" --import tsx "$1" hf:owner/repo/mm.ckpt`;
  return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = spawn('bash', ['-c', command, process.execPath, script], {
      env: { PATH: process.env.PATH, ...hub.variables, ...variables },
    });
    const text = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (data) => {
        text[name] += data;
      });
    }
    child.on('close', (status) => resolve({ status, ...text }));
  });
}

describe('a process that downloads', () => {
  it('says where there is no room, and the next one goes on from there', async () => {
    const hub = await startHub(FILES);
    const full = await resolveIn(hub, '1024');
    assert.notEqual(full.status, 0);
    assert.match(full.stderr, /Cannot write .*\.partial: EFBIG.*Make room, or set HF_HOME to another folder/);
    assert.match(full.stderr, /ERR_DOWNLOAD/);
    const blob = path.join(hub.cacheFolder, 'models--owner--repo', 'blobs', sha256(DATA));
    assert.equal(existsSync(blob), false);
    assert.equal(statSync(`${blob}.partial`).size, 1024 * 1024);
    const next = await resolveIn(hub, 'unlimited');
    assert.equal(next.status, 0, next.stderr);
    assert.deepEqual(readFileSync(next.stdout.trim()), DATA);
    assert.equal(hub.requests.at(-1)?.range, 'bytes=1048576-');
  });

  it('asks nobody when it is offline and has the file, and says so when it has not', async () => {
    const hub = await startHub(FILES);
    const missing = await resolveIn(hub, 'unlimited', { HF_HUB_OFFLINE: '1' });
    assert.match(missing.stderr, /is not in the cache, and downloads are off/);
    assert.equal(hub.requests.length, 0);
    await resolveIn(hub, 'unlimited');
    const asked = hub.requests.length;
    // Nothing listens there: a request of any kind would fail.
    const dead = { HF_ENDPOINT: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9' };
    const cached = await resolveIn(hub, 'unlimited', { HF_HUB_OFFLINE: '1', ...dead });
    assert.equal(cached.status, 0, cached.stderr);
    assert.deepEqual(readFileSync(cached.stdout.trim()), DATA);
    assert.equal(hub.requests.length, asked);
  });
});
