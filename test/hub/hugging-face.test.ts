import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiffError, type ErrorCode } from '../../lib/errors.ts';
import { type ResolveOptions, resolveSource, type SourceProgress } from '../../lib/hub/resolve.ts';
import { breakAfter, serve, startServer } from '../libtorch/support/server.ts';
import {
  blobName,
  COMMIT,
  diffusersRepo,
  type FakeHub,
  type Files,
  isLarge,
  sha256,
  startHub,
} from './support/fake-hub.ts';

const WEIGHTS = Buffer.alloc(300_000, 'motion module');
const FILES: Files = {
  'mm.ckpt': WEIGHTS,
  'config.json': Buffer.from('{}'),
  'sub/other.safetensors': WEIGHTS,
};

const failsWith =
  (code: ErrorCode, ...words: readonly RegExp[]) =>
  (error: unknown) => {
    assert.ok(error instanceof AnimateDiffError, String(error));
    assert.equal(error.code, code, error.message);
    for (const word of words) assert.match(error.message, word);
    return true;
  };

const resolveAt = (hub: FakeHub, source: string, options: ResolveOptions = {}) =>
  resolveSource(source, { environment: hub.environment, pauses: [1, 1], ...options });

const isFile = (url: URL) => url.pathname.includes('/resolve/');

describe('a file of the Hugging Face hub', () => {
  it('lands in the cache as Python programs lay it out', async () => {
    const hub = await startHub(FILES);
    const file = await resolveAt(hub, 'hf:owner/repo/mm.ckpt');
    const root = path.join(hub.cacheFolder, 'models--owner--repo');
    assert.equal(file, path.join(root, 'snapshots', COMMIT, 'mm.ckpt'));
    assert.deepEqual(readFileSync(file), WEIGHTS);
    assert.equal(readlinkSync(file), `../../blobs/${sha256(WEIGHTS)}`);
    assert.equal(readFileSync(path.join(root, 'refs', 'main'), 'utf8'), COMMIT);
    assert.deepEqual(readdirSync(path.join(root, 'blobs')), [sha256(WEIGHTS)]);
  });

  it('that git holds is checked by its object id', async () => {
    const hub = await startHub(FILES);
    const file = await resolveAt(hub, 'hf:owner/repo/config.json');
    const name = blobName('config.json', Buffer.from('{}'));
    assert.equal(path.basename(readlinkSync(file)), name);
    assert.equal(name.length, 40);
  });

  it('is taken from the cache without any request, online and offline', async () => {
    const hub = await startHub(FILES);
    const file = await resolveAt(hub, 'hf:owner/repo/mm.ckpt');
    const before = hub.requests.length;
    assert.equal(await resolveAt(hub, 'hf:owner/repo/mm.ckpt'), file);
    assert.equal(await resolveAt(hub, 'hf:owner/repo/mm.ckpt', { offline: true }), file);
    const environment = hub.with({ HF_HUB_OFFLINE: '1', HF_ENDPOINT: 'http://name.invalid' });
    assert.equal(await resolveAt(hub, `hf:owner/repo@${COMMIT}/mm.ckpt`, { environment }), file);
    assert.equal(await resolveAt(hub, 'hf:owner/repo/mm.ckpt', { environment, refresh: true }), file);
    assert.equal(hub.requests.length, before);
  });

  it('that another program fetched is used as it is', async () => {
    const hub = await startHub(FILES);
    const root = path.join(hub.cacheFolder, 'models--owner--repo');
    const snapshot = path.join(root, 'snapshots', COMMIT);
    for (const folder of ['blobs', 'refs', path.join('snapshots', COMMIT)])
      mkdirSync(path.join(root, folder), { recursive: true });
    writeFileSync(path.join(root, 'blobs', 'anything'), 'from Python');
    symlinkSync('../../blobs/anything', path.join(snapshot, 'mm.ckpt'));
    writeFileSync(path.join(root, 'refs', 'main'), COMMIT);
    assert.equal(readFileSync(await resolveAt(hub, 'hf:owner/repo/mm.ckpt'), 'utf8'), 'from Python');
    assert.equal(hub.requests.length, 0);
  });

  it('that is missing offline is an error without a request', async () => {
    const hub = await startHub(FILES);
    await assert.rejects(
      resolveAt(hub, 'hf:owner/repo/mm.ckpt', { offline: true }),
      failsWith('ERR_DOWNLOAD', /not in the cache, and downloads are off.*pull hf:owner\/repo\/mm\.ckpt/),
    );
    assert.equal(hub.requests.length, 0);
    assert.equal(existsSync(hub.cacheFolder), false);
  });

  it('follows its branch only when that is asked for, and fetches no blob twice', async () => {
    let commit = COMMIT;
    const hub = await startHub(FILES, { commit: () => commit });
    const old = await resolveAt(hub, 'hf:owner/repo/mm.ckpt');
    commit = 'f'.repeat(40);
    assert.equal(await resolveAt(hub, 'hf:owner/repo/mm.ckpt'), old);
    const fresh = await resolveAt(hub, 'hf:owner/repo/mm.ckpt', { refresh: true });
    assert.equal(fresh, old.replace(COMMIT, commit));
    assert.equal(hub.asked('mm.ckpt'), 1);
    assert.equal(await resolveAt(hub, 'hf:owner/repo/mm.ckpt'), fresh);
  });

  it('goes on where a broken connection left off', async () => {
    let broken = 0;
    const hub = await startHub(FILES, {
      interfere: (request, response, url) => {
        if (!isFile(url) || broken++ > 1) return false;
        breakAfter(100_000, WEIGHTS, request, response);
        return true;
      },
    });
    const file = await resolveAt(hub, 'hf:owner/repo/mm.ckpt');
    assert.deepEqual(readFileSync(file), WEIGHTS);
    assert.deepEqual(
      hub.requests.filter(({ url }) => url.endsWith('mm.ckpt')).map(({ range }) => range),
      [undefined, 'bytes=100000-', 'bytes=200000-'],
    );
  });

  it('goes on where an interrupted run left off', async () => {
    const hub = await startHub(FILES);
    const stop = new AbortController();
    const abort = ({ phase, done }: SourceProgress) =>
      phase === 'download' && done > 0 && stop.abort(new Error('stopped'));
    await assert.rejects(
      resolveAt(hub, 'hf:owner/repo/mm.ckpt', { signal: stop.signal, onProgress: abort }),
      /stopped/,
    );
    const blobs = path.join(hub.cacheFolder, 'models--owner--repo', 'blobs');
    writeFileSync(path.join(blobs, `${sha256(WEIGHTS)}.partial`), WEIGHTS.subarray(0, 1234));
    assert.deepEqual(readFileSync(await resolveAt(hub, 'hf:owner/repo/mm.ckpt')), WEIGHTS);
    assert.equal(hub.requests.at(-1)?.range, 'bytes=1234-');
    assert.deepEqual(readdirSync(blobs), [sha256(WEIGHTS)]);
  });

  it('with other content than the hub states never gets its name', async () => {
    const wrong = Buffer.alloc(WEIGHTS.length, 'wrong');
    const hub = await startHub(FILES, {
      interfere: (request, response, url) => {
        if (!isFile(url)) return false;
        serve(wrong, request, response);
        return true;
      },
    });
    await assert.rejects(resolveAt(hub, 'hf:owner/repo/mm.ckpt'), failsWith('ERR_CHECKSUM', /SHA-256/));
    const root = path.join(hub.cacheFolder, 'models--owner--repo');
    assert.deepEqual(readdirSync(path.join(root, 'blobs')), []);
    assert.equal(existsSync(path.join(root, 'snapshots')), false);
    assert.equal(existsSync(path.join(root, 'refs')), false);
  });

  it('of another length than the hub states is refused before it is fetched', async () => {
    const hub = await startHub(FILES, {
      interfere: (request, response, url) => {
        if (!isFile(url)) return false;
        serve(WEIGHTS.subarray(1), request, response);
        return true;
      },
    });
    await assert.rejects(
      resolveAt(hub, 'hf:owner/repo/mm.ckpt'),
      failsWith('ERR_DOWNLOAD', /offers 299999 bytes, expected 300000/),
    );
  });

  it('comes from where it is redirected to, and the token stays behind', async () => {
    const tokens: (string | undefined)[] = [];
    const cdn = await startServer((request, response) => {
      tokens.push(request.headers.authorization);
      serve(WEIGHTS, request, response);
    });
    const seen: (string | undefined)[] = [];
    const hub = await startHub(FILES, {
      interfere: (request, response, url) => {
        seen.push(request.headers.authorization);
        if (!isFile(url)) return false;
        response.writeHead(302, { location: `${cdn.address}/signed?key=1` }).end();
        return true;
      },
    });
    const environment = hub.with({ HF_TOKEN: 'hf_secret' });
    assert.deepEqual(readFileSync(await resolveAt(hub, 'hf:owner/repo/mm.ckpt', { environment })), WEIGHTS);
    assert.deepEqual(new Set(seen), new Set(['Bearer hf_secret']));
    assert.deepEqual(tokens, [undefined]);
  });

  it('of a repository that was renamed is found under its new name', async () => {
    const hub = await startHub(FILES, {
      interfere: (_request, response, url) => {
        if (!url.pathname.includes('old/name')) return false;
        response
          .writeHead(307, { location: url.pathname.replace('old/name', 'owner/repo') + url.search })
          .end();
        return true;
      },
    });
    assert.deepEqual(readFileSync(await resolveAt(hub, 'hf:old/name/mm.ckpt')), WEIGHTS);
  });

  it('is asked for with the token that `hf auth login` saved', async () => {
    const seen: (string | undefined)[] = [];
    const hub = await startHub(FILES, {
      interfere: (request) => {
        seen.push(request.headers.authorization);
        return false;
      },
    });
    const home = path.dirname(hub.cacheFolder);
    mkdirSync(home, { recursive: true });
    writeFileSync(path.join(home, 'token'), 'from-a-file\n');
    await resolveAt(hub, 'hf:owner/repo/mm.ckpt');
    assert.deepEqual(new Set(seen), new Set(['Bearer from-a-file']));
  });

  it('that is not there is told with the files that are', async () => {
    const hub = await startHub(FILES);
    await assert.rejects(
      resolveAt(hub, 'hf:owner/repo/mmm.ckpt'),
      failsWith(
        'ERR_DOWNLOAD',
        /no mmm\.ckpt/,
        /Name a file: hf:owner\/repo\/mm\.ckpt, hf:owner\/repo\/sub\/other/,
      ),
    );
  });

  for (const [status, token, words] of [
    [
      401,
      undefined,
      /does not exist, is private or is gated.*accept its licence at https:\/\/huggingface\.co\/owner\/repo.*HF_TOKEN/,
    ],
    [401, 'hf_wrong', /does not accept the token\. Check HF_TOKEN/],
    [
      403,
      'hf_right',
      /Accept the licence of the model at https:\/\/huggingface\.co\/owner\/repo with the same account/,
    ],
    [403, undefined, /Accept the licence.*then set HF_TOKEN/],
    [404, undefined, /revision 'main' does not exist/],
  ] as const) {
    for (const what of ['repository', 'file'] as const) {
      it(`of a ${what} that is answered with ${status}${token ? ' despite a token' : ''} is explained`, async () => {
        const hub = await startHub(FILES, {
          interfere: (_request, response, url) => {
            if (what === 'file' && !isFile(url)) return false;
            response.writeHead(status, { 'content-type': 'application/json' }).end('{"error":"no"}');
            return true;
          },
        });
        const environment = hub.with({ HF_TOKEN: token });
        await assert.rejects(
          resolveAt(hub, 'hf:owner/repo/mm.ckpt', { environment }),
          failsWith('ERR_DOWNLOAD', words),
        );
        // Asking again would not help.
        assert.equal(hub.requests.length, what === 'repository' ? 1 : 3);
      });
    }
  }

  it('waits as long as a busy hub asks, and tries again', async () => {
    const busy = new Map<string, number>();
    const hub = await startHub(FILES, {
      interfere: (_request, response, url) => {
        const count = busy.get(url.pathname) ?? 0;
        busy.set(url.pathname, count + 1);
        if (count > 0) return false;
        response.writeHead(429, { 'retry-after': isFile(url) ? '1' : '0' }).end();
        return true;
      },
    });
    const since = Date.now();
    await resolveAt(hub, 'hf:owner/repo/mm.ckpt');
    assert.ok(Date.now() - since >= 1000, `${Date.now() - since} ms`);
    assert.equal(hub.requests.length, 6);
  });

  it('is given up when the hub stays busy', async () => {
    const hub = await startHub(FILES, {
      interfere: (_request, response) => {
        response.writeHead(429, { 'retry-after': '3600' }).end();
        return true;
      },
    });
    await assert.rejects(
      resolveAt(hub, 'hf:owner/repo/mm.ckpt'),
      failsWith('ERR_DOWNLOAD', /answered 429.*asks to wait 3600 s/),
    );
    assert.equal(hub.requests.length, 1);
  });

  for (const [what, body] of [
    ['a page', '<html>Log in to the network'],
    ['no commit', '{"_id":"1","id":"owner/repo"}'],
    ['another commit', '{"_id":"1","id":"owner/repo","sha":"../../x"}'],
  ] as const) {
    it(`is not looked for where ${what} is answered`, async () => {
      const hub = await startHub(FILES, {
        interfere: (_request, response) => {
          response.writeHead(200, { 'content-type': 'application/json' }).end(body);
          return true;
        },
      });
      await assert.rejects(
        resolveAt(hub, 'hf:owner/repo/mm.ckpt'),
        failsWith('ERR_DOWNLOAD', /its answer is not that of a hub/),
      );
      assert.equal(hub.requests.length, 1);
    });
  }

  it('can be given up at any time', async () => {
    const stop = new AbortController();
    const hub = await startHub(FILES, {
      interfere: () => {
        stop.abort(new Error('stopped'));
        return true;
      },
    });
    await assert.rejects(resolveAt(hub, 'hf:owner/repo/mm.ckpt', { signal: stop.signal }), /stopped/);
    await assert.rejects(resolveAt(hub, 'hf:owner/repo/mm.ckpt', { signal: stop.signal }), /stopped/);
    assert.equal(hub.requests.length, 1);
  });

  it('names that would leave the cache are not there', async () => {
    const hub = await startHub({ ...FILES, '../../evil.ckpt': WEIGHTS, 'a/../../../evil.ckpt': WEIGHTS });
    await assert.rejects(
      resolveAt(hub, 'hf:owner/repo/none.ckpt'),
      (error: Error) => failsWith('ERR_DOWNLOAD')(error) && !error.message.includes('evil'),
    );
  });

  it('is fetched once when two processes want it', async () => {
    const hub = await startHub(FILES, {
      interfere: (_request, response, url) => {
        if (!isFile(url)) return false;
        // Slow enough for the other process to come.
        response.writeHead(200, { 'content-length': WEIGHTS.length });
        response.write(WEIGHTS.subarray(0, 1000));
        setTimeout(() => response.end(WEIGHTS.subarray(1000)), 1500);
        return true;
      },
    });
    const script = path.join(import.meta.dirname, 'support', 'resolve.ts');
    const run = () =>
      new Promise<string>((resolve) => {
        const child = spawn(process.execPath, ['--import', 'tsx', script, 'hf:owner/repo/mm.ckpt'], {
          env: { PATH: process.env.PATH, ...hub.variables },
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        let text = '';
        child.stdout.on('data', (data) => {
          text += data;
        });
        child.on('close', () => resolve(text));
      });
    const [first, second] = await Promise.all([run(), run()]);
    assert.equal(first, second);
    assert.deepEqual(readFileSync(first.trim()), WEIGHTS);
    assert.equal(hub.asked('mm.ckpt'), 1);
    const blobs = path.join(hub.cacheFolder, 'models--owner--repo', 'blobs');
    assert.deepEqual(readdirSync(blobs), [sha256(WEIGHTS)]);
  });
});

describe('a diffusers folder of the hub', () => {
  const NEEDED = [
    'model_index.json',
    'scheduler/scheduler_config.json',
    'text_encoder/config.json',
    'text_encoder/model.safetensors',
    'unet/config.json',
    'unet/diffusion_pytorch_model.safetensors',
    'vae/config.json',
    'vae/diffusion_pytorch_model.safetensors',
  ];

  const filesOf = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => lstatSync(path.join(folder, name)).isSymbolicLink())
      .sort();

  it('comes with what is read of it and nothing else', async () => {
    const hub = await startHub(diffusersRepo());
    const folder = await resolveAt(hub, 'hf:owner/repo');
    assert.equal(folder, path.join(hub.cacheFolder, 'models--owner--repo', 'snapshots', COMMIT));
    assert.deepEqual(filesOf(folder), NEEDED);
    assert.equal(hub.requests.length, 2 + NEEDED.length);
    assert.equal(await resolveAt(hub, 'hf:owner/repo', { offline: true }), folder);
    assert.equal(hub.requests.length, 2 + NEEDED.length);
  });

  it('that is incomplete in the cache is completed', async () => {
    const hub = await startHub(diffusersRepo());
    const folder = await resolveAt(hub, 'hf:owner/repo');
    rmSync(path.join(folder, 'vae/diffusion_pytorch_model.safetensors'));
    await assert.rejects(resolveAt(hub, 'hf:owner/repo', { offline: true }), failsWith('ERR_DOWNLOAD'));
    const before = hub.requests.length;
    assert.equal(await resolveAt(hub, 'hf:owner/repo'), folder);
    assert.deepEqual(filesOf(folder), NEEDED);
    // The blob was still there.
    assert.equal(hub.requests.length, before + 2);
  });

  it('comes with all shards that its index names', async () => {
    const shards = [
      'diffusion_pytorch_model-00001-of-00002.safetensors',
      'diffusion_pytorch_model-00002-of-00002.safetensors',
    ];
    const map = { a: shards[0], b: shards[1], c: shards[0] };
    const index = Buffer.from(JSON.stringify({ metadata: {}, weight_map: map }));
    const { 'unet/diffusion_pytorch_model.safetensors': _unet, ...rest } = diffusersRepo({
      'unet/diffusion_pytorch_model.safetensors.index.json': index,
      ...Object.fromEntries(shards.map((name, i) => [`unet/${name}`, Buffer.alloc(100 + i)])),
    });
    const hub = await startHub(rest);
    const folder = await resolveAt(hub, 'hf:owner/repo');
    assert.ok(shards.every((name) => existsSync(path.join(folder, 'unet', name))));
    rmSync(path.join(folder, 'unet', shards[1] ?? ''));
    await assert.rejects(resolveAt(hub, 'hf:owner/repo', { offline: true }), failsWith('ERR_DOWNLOAD'));
  });

  it('can be one network, at the root or in a folder', async () => {
    const adapter = {
      'config.json': Buffer.from('{"_class_name":"MotionAdapter"}'),
      'diffusion_pytorch_model.fp16.safetensors': Buffer.alloc(10),
      'AnimateLCM_sd15_t2v.ckpt': Buffer.alloc(20),
    };
    const hub = await startHub(adapter);
    const folder = await resolveAt(hub, 'hf:owner/repo');
    assert.deepEqual(filesOf(folder), ['config.json', 'diffusion_pytorch_model.fp16.safetensors']);
    const pipeline = await startHub(diffusersRepo());
    const vae = await resolveAt(pipeline, 'hf:owner/repo/vae');
    assert.deepEqual(filesOf(vae), ['config.json', 'diffusion_pytorch_model.safetensors']);
    assert.equal(await resolveAt(pipeline, 'hf:owner/repo/vae', { offline: true }), vae);
  });

  it('without weights is told with the files that it has', async () => {
    const hub = await startHub({ 'mm_sd_v15.ckpt': WEIGHTS, 'README.md': Buffer.from('#') });
    await assert.rejects(
      resolveAt(hub, 'hf:owner/repo'),
      failsWith('ERR_DOWNLOAD', /Name a file: hf:owner\/repo\/mm_sd_v15\.ckpt\.$/),
    );
    const { 'vae/diffusion_pytorch_model.safetensors': _vae, ...rest } = diffusersRepo();
    const broken = await startHub(rest);
    await assert.rejects(resolveAt(broken, 'hf:owner/repo'), failsWith('ERR_DOWNLOAD', /no vae\/diffusion/));
    assert.ok(Object.keys(rest).some(isLarge));
  });

  it('whose index names a file elsewhere is refused', async () => {
    const index = Buffer.from(JSON.stringify({ weight_map: { a: '../../../evil.safetensors' } }));
    const { 'unet/diffusion_pytorch_model.safetensors': _unet, ...rest } = diffusersRepo({
      'unet/diffusion_pytorch_model.safetensors.index.json': index,
    });
    const hub = await startHub(rest);
    await assert.rejects(resolveAt(hub, 'hf:owner/repo'), failsWith('ERR_DOWNLOAD', /names files elsewhere/));
  });
});
