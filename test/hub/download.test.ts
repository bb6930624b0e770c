import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { AnimateDiffError, type ErrorCode } from '../../lib/errors.ts';
import { type DownloadOptions, fetchFile } from '../../lib/hub/download.ts';
import { temporaryFolder } from '../libtorch/support/folders.ts';
import { type Behaviour, breakAfter, serve, startServer } from '../libtorch/support/server.ts';

const DATA = randomBytes(300_000);
const SHA256 = createHash('sha256').update(DATA).digest('hex');

async function setUp(behave: Behaviour) {
  const server = await startServer(behave);
  const target = path.join(temporaryFolder(), 'deep', 'file.zip');
  const url = `${server.address}/file.zip`;
  const fetch = (options: Partial<DownloadOptions> = {}, sha256 = SHA256) =>
    fetchFile({ url, sha256, bytes: DATA.length }, { target, proxy: {}, pauses: [1, 1], ...options });
  return { server, target, partial: `${target}.partial`, url, fetch };
}

const failsWith = (code: ErrorCode, message: RegExp) => (error: unknown) =>
  error instanceof AnimateDiffError && error.code === code && message.test(error.message);

describe('a download', () => {
  it('arrives whole, and reports how far it is', async () => {
    const { server, target, partial, fetch } = await setUp((request, response) =>
      serve(DATA, request, response),
    );
    const seen: (readonly [number, number | undefined])[] = [];
    let verified = 0;
    const file = await fetch({ onProgress: (...event) => seen.push(event), onVerify: () => verified++ });
    assert.equal(file, target);
    assert.deepEqual(readFileSync(target), DATA);
    assert.equal(existsSync(partial), false);
    assert.deepEqual(seen.at(-1), [DATA.length, DATA.length]);
    assert.ok(seen.every(([done], index) => index === 0 || done > (seen[index - 1]?.[0] ?? 0)));
    assert.equal(verified, 1);
    assert.equal(server.requests.length, 1);
  });

  it('goes on where a broken connection left off', async () => {
    const { server, target, fetch } = await setUp((request, response, attempt) =>
      attempt < 3 ? breakAfter(70_000, DATA, request, response) : serve(DATA, request, response),
    );
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
    assert.deepEqual(
      server.requests.map(({ range }) => range),
      [undefined, 'bytes=70000-', 'bytes=140000-', 'bytes=210000-'],
    );
  });

  it('keeps everything that came before the connection broke, even if nobody had read it yet', async () => {
    const part = 20_000;
    const { server, target, fetch } = await setUp((request, response) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': DATA.length - from });
      response.write(DATA.subarray(from, from + part), () => response.destroy());
    });
    // More breaks in a row than there are pauses: each brought something, so none is counted.
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
    assert.deepEqual(
      server.requests.map(({ range }) => Number(range?.match(/\d+/)?.[0] ?? 0)),
      Array.from({ length: DATA.length / part }, (_, index) => index * part),
    );
  });

  it('goes on where an earlier run left off', async () => {
    const { server, target, partial, fetch } = await setUp((request, response) =>
      serve(DATA, request, response),
    );
    const stop = new AbortController();
    await assert.rejects(
      fetch({ signal: stop.signal, onProgress: (done) => done > 0 && stop.abort(new Error('stopped')) }),
      /stopped/,
    );
    assert.equal(existsSync(target), false);
    writeFileSync(partial, DATA.subarray(0, 123_456));
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
    assert.equal(server.requests.at(-1)?.range, 'bytes=123456-');
  });

  it('starts again when the server does not know ranges', async () => {
    const { target, partial, fetch } = await setUp((request, response, attempt) => {
      if (attempt > 0) request.headers.range = undefined;
      return attempt === 0 ? breakAfter(1000, DATA, request, response) : serve(DATA, request, response);
    });
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
    assert.equal(existsSync(partial), false);
  });

  it('throws away a part that is longer than the file', async () => {
    const { target, fetch, partial } = await setUp((request, response) => serve(DATA, request, response));
    const stop = new AbortController();
    await fetch({ signal: stop.signal, onProgress: () => stop.abort() }).catch(() => {});
    writeFileSync(partial, Buffer.concat([DATA, DATA]));
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
  });

  it('tries again after an overloaded server, and not after a missing file', async () => {
    const busy = await setUp((request, response, attempt) =>
      attempt < 2 ? response.writeHead(503).end() : serve(DATA, request, response),
    );
    await busy.fetch();
    assert.equal(busy.server.requests.length, 3);
    const missing = await setUp((_request, response) => response.writeHead(404).end());
    await assert.rejects(missing.fetch(), failsWith('ERR_DOWNLOAD', /answered 404/));
    assert.equal(missing.server.requests.length, 1);
  });

  it('gives up after the last pause, with the address and the reason', async () => {
    const { server, url, fetch } = await setUp((_request, response) => response.writeHead(500).end());
    await assert.rejects(fetch(), (error) => {
      assert.ok(failsWith('ERR_DOWNLOAD', /answered 500/)(error));
      assert.ok(String(error).includes(url));
      return true;
    });
    assert.equal(server.requests.length, 3);
  });

  it('is refused and deleted when its hash is another', async () => {
    const { target, partial, fetch } = await setUp((request, response) => serve(DATA, request, response));
    await assert.rejects(fetch({}, '0'.repeat(64)), failsWith('ERR_CHECKSUM', new RegExp(SHA256)));
    assert.equal(existsSync(target), false);
    assert.equal(existsSync(partial), false);
  });

  it('is refused before it starts when the size is another', async () => {
    const { fetch, partial } = await setUp((request, response) => serve(DATA.subarray(1), request, response));
    await assert.rejects(fetch(), failsWith('ERR_DOWNLOAD', /offers 299999 bytes, expected 300000/));
    assert.equal(existsSync(partial), false);
  });

  it('that a crash damaged is fetched anew, once', async () => {
    const { server, target, partial, fetch } = await setUp((request, response) =>
      serve(DATA, request, response),
    );
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(partial, Buffer.alloc(100_000));
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
    assert.deepEqual(
      server.requests.map(({ range }) => range),
      ['bytes=100000-', undefined],
    );
  });

  it('that another program finished meanwhile is not fetched', async () => {
    const { server, target, fetch } = await setUp((request, response) => serve(DATA, request, response));
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, DATA);
    await fetch();
    assert.equal(server.requests.length, 0);
    writeFileSync(target, 'something else');
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
  });

  it('is stopped when more comes than was announced', async () => {
    const { target, partial, fetch } = await setUp((_request, response) => {
      response.write(DATA);
      response.end(DATA);
    });
    await assert.rejects(fetch(), failsWith('ERR_DOWNLOAD', /longer than 300000 bytes/));
    assert.equal(existsSync(target), false);
    assert.equal(existsSync(partial), false);
  });

  it('starts again when the server sends another part than the missing one', async () => {
    const { target, partial, fetch } = await setUp((request, response, attempt) => {
      if (attempt > 0) return serve(DATA, request, response);
      response.writeHead(206, { 'content-range': `bytes 5-${DATA.length - 1}/${DATA.length}` });
      response.end(DATA.subarray(5));
    });
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(partial, DATA.subarray(0, 1000));
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
  });

  it('goes on after a server that fell silent', async () => {
    const { server, target, fetch } = await setUp((request, response, attempt) => {
      if (attempt > 0) return serve(DATA, request, response);
      response.writeHead(200, { 'content-length': DATA.length });
      response.write(DATA.subarray(0, 100_000));
    });
    await fetch({ stall: 1000 });
    assert.deepEqual(readFileSync(target), DATA);
    assert.equal(server.requests.at(-1)?.range, 'bytes=100000-');
  });

  it('waits as long as a busy server asks', async () => {
    const { fetch } = await setUp((request, response, attempt) =>
      attempt > 0 ? serve(DATA, request, response) : response.writeHead(429, { 'retry-after': '1' }).end(),
    );
    const since = Date.now();
    await fetch();
    assert.ok(Date.now() - since >= 1000);
  });

  it('can be stopped while it waits', async () => {
    const { fetch } = await setUp((_request, response) =>
      response.writeHead(503, { 'retry-after': '100' }).end(),
    );
    await assert.rejects(fetch({ signal: AbortSignal.timeout(300) }), { name: 'TimeoutError' });
  });

  it('sends its headers to the host that was named, and to no other', async () => {
    const other = await startServer((request, response) => {
      assert.equal(request.headers.authorization, undefined);
      serve(DATA, request, response);
    });
    const { target, fetch } = await setUp((request, response) => {
      assert.equal(request.headers.authorization, 'Bearer secret');
      response.writeHead(302, { location: `${other.address}/file.zip` }).end();
    });
    await fetch({ headers: { authorization: 'Bearer secret' } });
    assert.deepEqual(readFileSync(target), DATA);
  });

  it('needs room for the whole file before it starts', async () => {
    const bytes = 1e18;
    const { url, target } = await setUp((_request, response) => {
      response.writeHead(200, { 'content-length': bytes });
      response.write('x');
    });
    await assert.rejects(
      fetchFile({ url, sha256: SHA256, bytes }, { target, proxy: {}, cacheVariable: 'HF_HOME' }),
      failsWith('ERR_DOWNLOAD', /1000000000\.0 GB are needed.*Make room, or set HF_HOME/),
    );
    assert.equal(existsSync(target), false);
  });

  it('tells a disk that is full', async () => {
    const { target, partial, fetch } = await setUp((request, response) => serve(DATA, request, response));
    mkdirSync(path.dirname(target), { recursive: true });
    symlinkSync('/dev/full', partial);
    await assert.rejects(fetch(), failsWith('ERR_DOWNLOAD', /ENOSPC.*Make room, or set ANIMATEDIFF_CACHE/));
    assert.equal(existsSync(target), false);
  });

  it('can be checked by the id that git gives it', async () => {
    const { url, target } = await setUp((request, response) => serve(DATA, request, response));
    const gitOid = createHash('sha1').update(`blob ${DATA.length}\0`).update(DATA).digest('hex');
    assert.equal(await fetchFile({ url, gitOid }, { target, proxy: {} }), target);
    await assert.rejects(
      fetchFile({ url, gitOid: '0'.repeat(40) }, { target: `${target}2`, proxy: {} }),
      failsWith('ERR_CHECKSUM', /git object id/),
    );
  });

  it('follows redirects', async () => {
    const { target, fetch } = await setUp((request, response) =>
      request.url === '/file.zip'
        ? response.writeHead(302, { location: '/elsewhere/file.zip' }).end()
        : serve(DATA, request, response),
    );
    await fetch();
    assert.deepEqual(readFileSync(target), DATA);
  });

  it('goes through the proxy, except where it must not', async () => {
    const proxy = await startServer((request, response) => serve(DATA, request, response));
    const { server, fetch } = await setUp((request, response) => serve(DATA, request, response));
    await fetch({ proxy: { http: proxy.address, except: '127.0.0.1' } });
    assert.equal(proxy.requests.length, 0);
    assert.equal(server.requests.length, 1);
    const named = { url: 'http://name.invalid/file.zip', sha256: SHA256 };
    const target = path.join(temporaryFolder(), 'file.zip');
    // Whether the request is tunnelled or not, only the proxy can resolve this name.
    const through = await startServer((request, response) => serve(DATA, request, response));
    const failure = await fetchFile(named, { target, proxy: { http: through.address }, pauses: [] }).catch(
      (error: Error) => error.message,
    );
    assert.ok(through.requests.length + through.tunnels.length > 0, String(failure));
  });

  it('of a file: address is checked where it lies', async () => {
    const file = path.join(temporaryFolder(), 'wheel.whl');
    writeFileSync(file, DATA);
    const url = pathToFileURL(file).href;
    const target = path.join(temporaryFolder(), 'copy');
    assert.equal(await fetchFile({ url, sha256: SHA256 }, { target, proxy: {} }), file);
    await assert.rejects(
      fetchFile({ url, sha256: '0'.repeat(64) }, { target, proxy: {} }),
      failsWith('ERR_CHECKSUM', /Replace the file/),
    );
    assert.deepEqual(readFileSync(file), DATA);
    await assert.rejects(
      fetchFile({ url: `${url}x`, sha256: SHA256 }, { target, proxy: {} }),
      failsWith('ERR_DOWNLOAD', /ENOENT/),
    );
  });
});
