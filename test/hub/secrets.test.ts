/** Secrets in addresses: they are sent to the server, and told to nobody. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readEnvironment } from '../../lib/environment.ts';
import { AnimateDiffError } from '../../lib/errors.ts';
import { listModels } from '../../lib/hub/list.ts';
import { removeModel } from '../../lib/hub/remove.ts';
import { resolveSource } from '../../lib/hub/resolve.ts';
import { redacted } from '../../lib/redact.ts';
import { runCli } from '../cli/fakes.ts';
import { temporaryFolder } from '../libtorch/support/folders.ts';
import { serve, startServer } from '../libtorch/support/server.ts';
import { sha256 } from './support/fake-hub.ts';

const DATA = Buffer.alloc(1000, 'model');
const SECRET = 'hush-4711';

const ADDRESSES: readonly (readonly [string, string])[] = [
  [`https://a.example/m?token=${SECRET}`, 'https://a.example/m?token=…'],
  [`https://a.example/m?x=1&api_key=${SECRET}&y=2`, 'https://a.example/m?x=1&api_key=…&y=2'],
  [`https://a.example/m?access_token=${SECRET}#sha256=12`, 'https://a.example/m?access_token=…#sha256=12'],
  [`https://a.example/m?apikey=${SECRET}`, 'https://a.example/m?apikey=…'],
  [
    `https://a.example/m?X-Amz-Credential=${SECRET}&X-Amz-Expires=60&X-Amz-Signature=${SECRET}`,
    'https://a.example/m?X-Amz-Credential=…&X-Amz-Expires=60&X-Amz-Signature=…',
  ],
  [`https://a.example/m?se=2026&sig=${SECRET}`, 'https://a.example/m?se=2026&sig=…'],
  [
    `https://a.example/m?Expires=1&Policy=${SECRET}&Signature=${SECRET}`,
    'https://a.example/m?Expires=1&Policy=…&Signature=…',
  ],
  [`http://me:${SECRET}@a.example:80/m`, 'http://…@a.example:80/m'],
  [
    `'https://a.example/m?token=${SECRET}' and https://b.example/?auth=${SECRET} fail`,
    "'https://a.example/m?token=…' and https://b.example/?auth=… fail",
  ],
  ['https://a.example/m?download=true&version=2', 'https://a.example/m?download=true&version=2'],
  ['a cat, token=1, key=2', 'a cat, token=1, key=2'],
];

/** A server that gives the file to whoever has the secret. */
async function startSite() {
  const server = await startServer((request, response) => {
    if (request.url?.startsWith('/files/model.ckpt')) serve(DATA, request, response);
    else response.writeHead(404).end();
  });
  const environment = readEnvironment({ ANIMATEDIFF_CACHE: temporaryFolder(), HF_HOME: temporaryFolder() });
  const source = (name: string) =>
    `${server.address}/files/${name}?download=1&token=${SECRET}#sha256=${sha256(DATA)}`;
  return { ...server, environment, source };
}

describe('the secrets of an address', () => {
  for (const [address, shown] of ADDRESSES) {
    it(`leave ${shown}`, () => assert.equal(redacted(address), shown));
  }

  it('reach the server, and neither progress nor cache', async () => {
    const { environment, source, requests } = await startSite();
    const told: unknown[] = [];
    const options = { environment, onProgress: (event: unknown) => told.push(event) };
    const file = await resolveSource(source('model.ckpt'), options);
    assert.equal(requests[0]?.url, `/files/model.ckpt?download=1&token=${SECRET}`);
    assert.ok(told.length > 0);
    const kept = readFileSync(path.join(path.dirname(file), 'source.json'), 'utf8');
    const listed = await listModels({ environment });
    assert.doesNotMatch(JSON.stringify([told, kept, listed]), new RegExp(SECRET));
    // Without them the address is still good for removing the file.
    const removed = await removeModel(listed[0]?.source ?? '', { environment });
    assert.equal(removed.path, path.dirname(file));
  });

  it('are in no error, its details or those of a config', async () => {
    const { environment, source } = await startSite();
    const wrong = source('model.ckpt').replace(/#.*/, '');
    for (const [text, options] of [
      [source('gone.ckpt'), {}],
      [source('model.ckpt'), { offline: true }],
      [source('model.ckpt').replace(/[0-9a-f]{64}/, '0'.repeat(64)), {}],
      [wrong, {}],
    ] as const) {
      await assert.rejects(resolveSource(text, { environment, ...options }), (error) => {
        assert.ok(error instanceof AnimateDiffError);
        assert.match(error.message, /token=…/);
        assert.doesNotMatch(JSON.stringify([error.message, error.details]), new RegExp(SECRET));
        return true;
      });
    }
  });

  it('are not printed by the command line', async () => {
    const { source } = await startSite();
    const resolveSource = async () => '/cache/model.ckpt';
    for (const argv of [
      ['pull', source('model.ckpt'), '--json'],
      ['pull', source('model.ckpt').replace(/#.*/, ''), '--json', '--verbose'],
    ]) {
      const { stdout, stderr } = await runCli(argv, { resolveSource });
      assert.match(stdout + stderr, /token=…/, argv.join(' '));
      assert.doesNotMatch(stdout + stderr, new RegExp(SECRET), argv.join(' '));
    }
  });
});
