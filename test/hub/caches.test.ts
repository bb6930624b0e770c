import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiffError, type ErrorCode } from '../../lib/errors.ts';
import { listModels } from '../../lib/hub/list.ts';
import { removeAllModels, removeModel } from '../../lib/hub/remove.ts';
import { resolveSource } from '../../lib/hub/resolve.ts';
import { temporaryFolder } from '../libtorch/support/folders.ts';
import { serve } from '../libtorch/support/server.ts';
import { diffusersRepo, type FakeHub, type Files, sha256, startHub } from './support/fake-hub.ts';

const OTHER = Buffer.alloc(700, 'other');
const URL_HASH = sha256(OTHER);

/** A hub that also gives a file at an address. */
const startWithAddress = (files: Files, commit?: () => string) =>
  startHub(files, {
    commit,
    interfere: (request, response, url) => {
      if (url.pathname !== '/other.ckpt') return false;
      serve(OTHER, request, response);
      return true;
    },
  });

const addressOf = (hub: FakeHub) => `${hub.address}/other.ckpt#sha256=${URL_HASH}`;

const failsWith = (code: ErrorCode, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AnimateDiffError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, words);
  return true;
};

const FILES: Files = { 'a.ckpt': Buffer.alloc(1000, 'a'), 'b.ckpt': Buffer.alloc(500, 'b') };

describe('the list of models', () => {
  it('is empty where there are no caches', async () => {
    const hub = await startHub({});
    assert.deepEqual(await listModels(hub), []);
  });

  it('has source, size and path, so that every source can be used again', async () => {
    const hub = await startWithAddress(FILES);
    const sources = [addressOf(hub), 'hf:owner/repo/a.ckpt', 'hf:owner/repo/b.ckpt'];
    const paths = [];
    for (const source of sources) paths.push(await resolveSource(source, hub));
    const models = await listModels(hub);
    assert.deepEqual(
      models.map(({ source, path: file, bytes }) => [source, file, bytes]),
      [
        [sources[0], paths[0], 700],
        [sources[1], paths[1], 1000],
        [sources[2], paths[2], 500],
      ],
    );
    for (const model of models)
      assert.equal(await resolveSource(model.source, { ...hub, offline: true }), model.path);
  });

  it('has diffusers folders as a whole', async () => {
    const hub = await startHub(diffusersRepo());
    const folder = await resolveSource('hf:owner/repo', hub);
    const [model, ...rest] = await listModels(hub);
    assert.deepEqual(rest, []);
    assert.equal(model?.source, 'hf:owner/repo');
    assert.equal(path.resolve(model?.path ?? ''), folder);
    assert.ok((model?.bytes ?? 0) > 6000);
  });

  it('survives what else may lie in a cache', async () => {
    const hub = await startHub(FILES);
    await resolveSource('hf:owner/repo/a.ckpt', hub);
    const cache = hub.cacheFolder;
    mkdirSync(path.join(cache, 'datasets--x--y', 'snapshots'), { recursive: true });
    mkdirSync(path.join(cache, 'models--empty--repo'));
    writeFileSync(path.join(cache, 'version.txt'), '1');
    const snapshot = path.join(cache, 'models--broken--repo', 'snapshots', 'f'.repeat(40));
    mkdirSync(snapshot, { recursive: true });
    symlinkSync('../../blobs/gone', path.join(snapshot, 'gone.ckpt'));
    mkdirSync(path.join(hub.environment.cacheFolder, 'models', 'civitai', '12'), { recursive: true });
    assert.deepEqual(
      (await listModels(hub)).map(({ source }) => source),
      ['hf:owner/repo/a.ckpt'],
    );
  });
});

describe('removing models', () => {
  it('frees a file, and what is left can still be used', async () => {
    const hub = await startHub(FILES);
    const a = await resolveSource('hf:owner/repo/a.ckpt', hub);
    const b = await resolveSource('hf:owner/repo/b.ckpt', hub);
    const removed = await removeModel('hf:owner/repo/a.ckpt', hub);
    assert.deepEqual(removed, { source: 'hf:owner/repo/a.ckpt', path: a, bytes: 1000 });
    assert.equal(existsSync(a), false);
    assert.equal(readFileSync(b).length, 500);
    assert.equal(readdirSync(path.join(hub.cacheFolder, 'models--owner--repo', 'blobs')).length, 1);
  });

  it('keeps a blob that another revision uses', async () => {
    let commit = '1'.repeat(40);
    const hub = await startWithAddress(FILES, () => commit);
    await resolveSource('hf:owner/repo/a.ckpt', hub);
    commit = '2'.repeat(40);
    const fresh = await resolveSource('hf:owner/repo/a.ckpt', { ...hub, refresh: true });
    const removed = await removeModel(`hf:owner/repo@${'1'.repeat(40)}`, hub);
    assert.equal(removed.bytes, 0);
    assert.equal(readFileSync(fresh).length, 1000);
    assert.equal((await removeModel(`hf:owner/repo@${commit}/a.ckpt`, hub)).bytes, 1000);
    // Nothing leads to the branch any more.
    assert.equal(existsSync(path.join(hub.cacheFolder, 'models--owner--repo', 'refs', 'main')), false);
  });

  it('takes a repository as a whole', async () => {
    const hub = await startHub(diffusersRepo());
    await resolveSource('hf:owner/repo', hub);
    const { bytes } = await removeModel('hf:owner/repo', hub);
    assert.ok(bytes > 6000);
    assert.equal(existsSync(path.join(hub.cacheFolder, 'models--owner--repo')), false);
  });

  it('of everything spares the cache that other programs use', async () => {
    const hub = await startWithAddress(FILES);
    const shared = await resolveSource('hf:owner/repo/a.ckpt', hub);
    await resolveSource(addressOf(hub), hub);
    const unfinished = path.join(hub.environment.cacheFolder, 'models', 'civitai', '12');
    mkdirSync(unfinished, { recursive: true });
    writeFileSync(path.join(unfinished, 'a.ckpt.partial'), Buffer.alloc(30));
    const removed = await removeAllModels(hub);
    assert.deepEqual(
      removed.map(({ source }) => source),
      [addressOf(hub), 'unfinished downloads'],
    );
    assert.ok((removed[0]?.bytes ?? 0) >= 700);
    assert.equal(removed[1]?.bytes, 30);
    assert.equal(existsSync(path.join(hub.environment.cacheFolder, 'models')), false);
    assert.equal(existsSync(shared), true);
    assert.deepEqual(await removeAllModels(hub), []);
  });

  it('refuses a path, whatever it is', async () => {
    const hub = await startHub(FILES);
    const file = await resolveSource('hf:owner/repo/a.ckpt', hub);
    for (const text of [file, '/etc/passwd', 'a.ckpt', '..'])
      await assert.rejects(removeModel(text, hub), failsWith('ERR_INVALID_ARGUMENT', /yours to remove/));
    assert.equal(existsSync(file), true);
  });

  it('refuses what a link leads out of the cache', async () => {
    const hub = await startHub(FILES);
    const outside = temporaryFolder();
    writeFileSync(path.join(outside, 'precious'), 'x');
    mkdirSync(path.join(hub.cacheFolder), { recursive: true });
    const repo = path.join(hub.cacheFolder, 'models--owner--repo');
    mkdirSync(path.join(repo, 'refs'), { recursive: true });
    writeFileSync(path.join(repo, 'refs', 'main'), '3'.repeat(40));
    symlinkSync(outside, path.join(repo, 'snapshots'));
    mkdirSync(path.join(outside, '3'.repeat(40)));
    writeFileSync(path.join(outside, '3'.repeat(40), 'a.ckpt'), 'x');
    await assert.rejects(
      removeModel('hf:owner/repo/a.ckpt', hub),
      failsWith('ERR_INVALID_ARGUMENT', /Expected a file in/),
    );
    assert.equal(existsSync(path.join(outside, '3'.repeat(40), 'a.ckpt')), true);
    await removeModel('hf:owner/repo', hub);
    assert.equal(existsSync(path.join(outside, 'precious')), true);
  });

  it('follows folders that are links to another disk, and leaves the links and what else lies there', async () => {
    const hub = await startWithAddress(FILES);
    const models = path.join(hub.environment.cacheFolder, 'models');
    const disk = temporaryFolder();
    mkdirSync(hub.environment.cacheFolder, { recursive: true });
    mkdirSync(path.join(disk, 'url'));
    symlinkSync(disk, models);
    const other = path.join(temporaryFolder(), 'elsewhere');
    mkdirSync(other);
    symlinkSync(other, path.join(models, 'civitai'));
    await resolveSource(addressOf(hub), hub);
    assert.equal((await listModels(hub)).length, 1);
    assert.ok((await removeModel(addressOf(hub), hub)).bytes >= 700);
    assert.deepEqual(readdirSync(path.join(disk, 'url')), []);
    await resolveSource(addressOf(hub), hub);
    mkdirSync(path.join(other, '12'));
    writeFileSync(path.join(other, '12', 'a.partial'), Buffer.alloc(30));
    for (const place of [other, disk]) writeFileSync(path.join(place, 'mine.ckpt'), 'x');
    const removed = await removeAllModels(hub);
    assert.equal(removed.length, 2);
    assert.equal(removed[1]?.bytes, 30);
    assert.deepEqual(readdirSync(other), ['mine.ckpt']);
    assert.deepEqual(readdirSync(models).sort(), ['civitai', 'mine.ckpt']);
    await resolveSource(addressOf(hub), hub);
    assert.equal((await listModels(hub)).length, 1);
  });

  it('takes a link to a model, and leaves what it leads to', async () => {
    const hub = await startWithAddress(FILES);
    const file = await resolveSource(addressOf(hub), hub);
    const folder = path.dirname(file);
    const moved = path.join(temporaryFolder(), 'moved');
    cpSync(folder, moved, { recursive: true });
    rmSync(folder, { recursive: true });
    symlinkSync(moved, folder);
    assert.deepEqual(
      (await listModels(hub)).map(({ source }) => source),
      [addressOf(hub)],
    );
    assert.equal((await removeModel(addressOf(hub), hub)).bytes, 0);
    assert.equal(existsSync(folder), false);
    assert.equal(readFileSync(path.join(moved, path.basename(file))).length, 700);
  });

  it('frees a file beside links that lead nowhere or in a circle', async () => {
    const hub = await startHub(FILES);
    const a = await resolveSource('hf:owner/repo/a.ckpt', hub);
    const repo = path.join(hub.cacheFolder, 'models--owner--repo');
    const away = path.join(repo, 'blobs', 'f'.repeat(64));
    symlinkSync('/not/mounted', away);
    symlinkSync('e'.repeat(64), path.join(repo, 'blobs', 'e'.repeat(64)));
    symlinkSync(`../../blobs/${'f'.repeat(64)}`, path.join(path.dirname(a), 'b.ckpt'));
    assert.equal((await removeModel('hf:owner/repo/a.ckpt', hub)).bytes, 1000);
    assert.ok(lstatSync(away).isSymbolicLink());
  });

  it('says what is not there', async () => {
    const hub = await startHub(FILES);
    for (const source of ['hf:owner/repo', 'hf:owner/repo/a.ckpt', 'civitai:12', addressOf(hub)])
      await assert.rejects(removeModel(source, hub), failsWith('ERR_FILE_NOT_FOUND', /models list/));
    await resolveSource('hf:owner/repo/a.ckpt', hub);
    for (const source of ['hf:owner/repo/b.ckpt', 'hf:owner/repo@v9/a.ckpt'])
      await assert.rejects(removeModel(source, hub), failsWith('ERR_FILE_NOT_FOUND', /models list/));
  });
});
