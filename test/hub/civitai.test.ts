import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Environment } from '../../lib/environment.ts';
import { readEnvironment } from '../../lib/environment.ts';
import { AnimateDiffError, type ErrorCode } from '../../lib/errors.ts';
import { type ResolveOptions, resolveSource } from '../../lib/hub/resolve.ts';
import { temporaryFolder } from '../libtorch/support/folders.ts';
import { breakAfter, serve, startServer, type TestServer } from '../libtorch/support/server.ts';
import { type Interference, sha256 } from './support/fake-hub.ts';

const DATA = Buffer.alloc(200_000, 'toon');
const VERSION = '78775';

interface Site extends TestServer {
  readonly environment: Environment;
  readonly folder: string;
  readonly resolve: (options?: ResolveOptions) => Promise<string>;
}

/** CivitAI with one version, whose metadata is `version`. */
async function startSite(
  version: unknown = {
    id: 78775,
    files: [
      { name: 'toonyou_beta3.vae.pt', type: 'VAE', hashes: { SHA256: '0'.repeat(64) } },
      {
        name: 'toonyou_beta3.safetensors',
        type: 'Model',
        primary: true,
        hashes: { SHA256: sha256(DATA).toUpperCase() },
      },
    ],
  },
  interfere: Interference = () => false,
  variables: Record<string, string> = {},
): Promise<Site> {
  const server = await startServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://site');
    if (interfere(request, response, url)) return;
    if (url.pathname === `/api/v1/model-versions/${VERSION}`)
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(version));
    else if (url.pathname === `/api/download/models/${VERSION}`) serve(DATA, request, response);
    else response.writeHead(404).end();
  });
  const cache = temporaryFolder();
  const environment = readEnvironment({
    ANIMATEDIFF_CACHE: cache,
    CIVITAI_ENDPOINT: server.address,
    ...variables,
  });
  return {
    ...server,
    environment,
    folder: path.join(cache, 'models', 'civitai', VERSION),
    resolve: (options) => resolveSource(`civitai:${VERSION}`, { environment, pauses: [1, 1], ...options }),
  };
}

const failsWith = (code: ErrorCode, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AnimateDiffError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, words);
  return true;
};

describe('a version of CivitAI', () => {
  it('arrives under the name of its main file, checked, beside a manifest', async () => {
    const site = await startSite();
    const file = await site.resolve();
    assert.equal(file, path.join(site.folder, 'toonyou_beta3.safetensors'));
    assert.deepEqual(readFileSync(file), DATA);
    assert.deepEqual(readdirSync(site.folder).sort(), ['source.json', 'toonyou_beta3.safetensors']);
    const { fetched, ...manifest } = JSON.parse(readFileSync(path.join(site.folder, 'source.json'), 'utf8'));
    assert.deepEqual(manifest, {
      source: 'civitai:78775',
      name: 'toonyou_beta3.safetensors',
      url: `${site.address}/api/download/models/78775`,
      bytes: DATA.length,
      sha256: sha256(DATA),
    });
    assert.ok(Date.parse(fetched) > 0);
  });

  it('is taken from the cache without any request', async () => {
    const site = await startSite();
    const file = await site.resolve();
    assert.equal(await site.resolve({ refresh: true }), file);
    assert.equal(await site.resolve({ offline: true }), file);
    assert.equal(site.requests.length, 2);
  });

  it('that is missing offline is an error without a request', async () => {
    const site = await startSite();
    await assert.rejects(site.resolve({ offline: true }), failsWith('ERR_DOWNLOAD', /not in the cache/));
    assert.equal(site.requests.length, 0);
  });

  it('whose file was cut in the cache is fetched again', async () => {
    const site = await startSite();
    writeFileSync(await site.resolve(), DATA.subarray(1));
    assert.deepEqual(readFileSync(await site.resolve()), DATA);
  });

  it('goes on where a broken connection left off, and after an overloaded server', async () => {
    let count = 0;
    const site = await startSite(undefined, (request, response, url) => {
      if (!url.pathname.includes('download') || count++ > 1) return false;
      if (count === 1) response.writeHead(503, { 'retry-after': 'Thu, 01 Jan 1970 00:00:00 GMT' }).end();
      else breakAfter(150_000, DATA, request, response);
      return true;
    });
    assert.deepEqual(readFileSync(await site.resolve()), DATA);
    assert.deepEqual(
      site.requests.slice(1).map(({ range }) => range),
      [undefined, undefined, 'bytes=150000-'],
    );
  });

  it('that is not what its metadata says is deleted', async () => {
    const site = await startSite({ files: [{ name: 'a.safetensors', hashes: { SHA256: 'a'.repeat(64) } }] });
    await assert.rejects(site.resolve(), failsWith('ERR_CHECKSUM', /SHA-256/));
    assert.deepEqual(readdirSync(site.folder), []);
  });

  it('is asked for with the token, which its storage does not see', async () => {
    const seen: (string | undefined)[] = [];
    const storage = await startServer((request, response) => {
      assert.equal(request.headers.authorization, undefined);
      serve(DATA, request, response);
    });
    const site = await startSite(
      undefined,
      (request, response, url) => {
        seen.push(request.headers.authorization);
        if (!url.pathname.includes('download')) return false;
        response.writeHead(307, { location: `${storage.address}/file?signature=1` }).end();
        return true;
      },
      { CIVITAI_TOKEN: 'secret' },
    );
    assert.deepEqual(readFileSync(await site.resolve()), DATA);
    assert.deepEqual(seen, ['Bearer secret', 'Bearer secret']);
  });

  const page: Interference = (_request, response, url) => {
    if (url.pathname.startsWith('/login'))
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    else if (url.pathname.includes('download'))
      response.writeHead(302, { location: '/login?reason=download' }).end();
    else return false;
    return true;
  };
  const answer =
    (status: number): Interference =>
    (_request, response, url) => {
      if (!url.pathname.includes('download')) return false;
      response.writeHead(status).end('{"error":"Unauthorized"}');
      return true;
    };
  for (const [what, interfere, variables, words] of [
    ['401 without a token', answer(401), {}, /logged in download it\. Make a token .* set CIVITAI_TOKEN/],
    ['401 with a token', answer(401), { CIVITAI_TOKEN: 'x' }, /does not accept the token/],
    ['403 with a token', answer(403), { CIVITAI_TOKEN: 'x' }, /early access or withdrawn/],
    ['404', answer(404), {}, /no such version, or no longer.*modelVersionId=/],
    ['the page of a login', page, {}, /logged in download it/],
  ] as const) {
    it(`that is answered with ${what} is explained, and leaves nothing behind`, async () => {
      const site = await startSite(undefined, interfere, variables);
      await assert.rejects(site.resolve(), failsWith('ERR_DOWNLOAD', words));
      assert.deepEqual(readdirSync(site.folder), []);
    });
  }

  for (const [what, version] of [
    ['no hash', { files: [{ name: 'a.safetensors', primary: true, hashes: { CRC32: '0' } }] }],
    ['no files', { files: [] }],
    ['another form', ['nothing']],
    ['null', null],
  ] as const) {
    it(`whose metadata has ${what} is refused`, async () => {
      const site = await startSite(version);
      await assert.rejects(
        site.resolve(),
        failsWith('ERR_DOWNLOAD', /no file with a SHA-256.*with a browser/),
      );
    });
  }

  it('whose metadata is a page for a while is asked again', async () => {
    let count = 0;
    const site = await startSite(undefined, (_request, response, url) => {
      if (!url.pathname.includes('model-versions') || count++ > 0) return false;
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Maintenance');
      return true;
    });
    assert.deepEqual(readFileSync(await site.resolve()), DATA);
  });

  it('with a name that leads elsewhere stays in its folder', async () => {
    for (const [name, kept] of [
      ['../../../evil.safetensors', 'evil.safetensors'],
      ['..', '78775.safetensors'],
      ['source.json', '78775.safetensors'],
      ['a:b?.ckpt', 'a_b_.ckpt'],
    ] as const) {
      const site = await startSite({ files: [{ name, hashes: { SHA256: sha256(DATA) } }] });
      assert.equal(await site.resolve(), path.join(site.folder, kept));
    }
  });

  it('on a full disk is an error with the way out, and has no name yet', async () => {
    const site = await startSite();
    mkdirSync(site.folder, { recursive: true });
    // Whatever is written to this device finds no room.
    symlinkSync('/dev/full', path.join(site.folder, 'toonyou_beta3.safetensors.partial'));
    await assert.rejects(
      site.resolve(),
      failsWith('ERR_DOWNLOAD', /ENOSPC.*Make room, or set ANIMATEDIFF_CACHE/),
    );
    assert.equal(existsSync(path.join(site.folder, 'toonyou_beta3.safetensors')), false);
    assert.equal(existsSync(path.join(site.folder, 'source.json')), false);
  });
});

describe('a file at any address', () => {
  const source = (site: Site, hash: string = sha256(DATA)) =>
    `${site.address}/files/my%20model.ckpt?download=1#sha256=${hash}`;
  const serveAll: Interference = (request, response) => {
    serve(DATA, request, response);
    return true;
  };

  it('is fetched, checked and kept under its hash', async () => {
    const site = await startSite(undefined, serveAll);
    const options = { environment: site.environment };
    const file = await resolveSource(source(site), options);
    assert.equal(
      file,
      path.join(site.environment.cacheFolder, 'models', 'url', sha256(DATA), 'my model.ckpt'),
    );
    assert.equal(
      await resolveSource({ url: source(site), sha256: sha256(DATA) }, { ...options, offline: true }),
      file,
    );
    assert.deepEqual(
      site.requests.map(({ url }) => url),
      ['/files/my%20model.ckpt?download=1'],
    );
  });

  it('with another hash is refused', async () => {
    const site = await startSite(undefined, serveAll);
    await assert.rejects(
      resolveSource(source(site, '1'.repeat(64)), { environment: site.environment }),
      failsWith('ERR_CHECKSUM', new RegExp(sha256(DATA))),
    );
  });

  it('that is gone is told with the answer', async () => {
    const site = await startSite();
    await assert.rejects(
      resolveSource(source(site), { environment: site.environment }),
      failsWith('ERR_DOWNLOAD', /answered 404/),
    );
  });
});

describe('a path', () => {
  it('belongs to a folder, and must be there', async () => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, 'a.ckpt'), '');
    assert.equal(await resolveSource('a.ckpt', { folder }), path.join(folder, 'a.ckpt'));
    await assert.rejects(
      resolveSource('guoyww/animatediff', { folder }),
      failsWith('ERR_FILE_NOT_FOUND', /does not exist.*write hf:guoyww\/animatediff\./),
    );
  });
});
