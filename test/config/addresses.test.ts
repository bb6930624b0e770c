/** Files of a model as an address with its hash beside it, in configurations and in options. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig, parseConfig } from '../../lib/config/load.ts';
import { AnimateDiffError } from '../../lib/errors.ts';
import { parseSource } from '../../lib/hub/source.ts';
import { readLoadOptions, readLoras } from '../../lib/load-options.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SHA256 = 'ab'.repeat(32);
const URL_TEXT = 'https://example.org/a%20b.safetensors?x=1';
const TEXT = `${URL_TEXT}#sha256=${SHA256}`;
const address = { url: URL_TEXT, sha256: SHA256.toUpperCase() };

describe('an address with its hash beside it', () => {
  it('is the same source as one text, wherever a configuration names a file', async () => {
    const file = path.join(temporaryFolder(), 'c.yaml');
    const yaml = `{url: "${URL_TEXT}", sha256: ${SHA256.toUpperCase()}}`;
    writeFileSync(
      file,
      `base: ${yaml}\ncheckpoint: ${yaml}\nvae: ${yaml}\nmotionModule: {path: ${yaml}, version: v3}\nloras: [${yaml}, {path: ${yaml}, scale: 0.5}]`,
    );
    assert.deepEqual(await loadConfig(file), {
      base: TEXT,
      checkpoint: TEXT,
      vae: TEXT,
      motionModule: { path: TEXT, version: 'v3' },
      loras: [TEXT, { path: TEXT, scale: 0.5 }],
    });
    assert.deepEqual(parseConfig(`motionModule: ${yaml}`, 'c.yaml'), { motionModule: TEXT });
  });

  const wrong: readonly (readonly [yaml: string, message: RegExp])[] = [
    [`base: {url: "${URL_TEXT}"}`, /Missing key `base.sha256`: expected 64 hexadecimal digits/],
    [`base: {url: "${URL_TEXT}", sha256: ab}`, /Expected 64 hexadecimal digits for `base.sha256`, got ab/],
    [`base: {url: ftp://a/b, sha256: "${SHA256}"}`, /an http: or https: address without # for `base.url`/],
    [`base: {url: "${TEXT}", sha256: "${SHA256}"}`, /address without # for `base.url`/],
    [`base: {url: "${URL_TEXT}", sha265: "${SHA256}"}`, /Unknown key `base.sha265`. Did you mean `sha256`/],
    [`loras: [{url: "${URL_TEXT}", sha256: "${SHA256}", scale: 1}]`, /Unknown key `loras\[0\].scale`/],
    [`loras: [{path: a, scle: 1}]`, /Unknown key `loras\[0\].scle`. Did you mean `scale`/],
    [`loras: [{path: {url: "${URL_TEXT}", sha256: 1}}]`, /for `loras\[0\].path.sha256`, got 1/],
  ];
  for (const [yaml, message] of wrong) {
    it(`is refused with its place: ${yaml.slice(0, 60)}`, () => {
      assert.throws(
        () => parseConfig(yaml, 'c.yaml'),
        (error) =>
          error instanceof AnimateDiffError && error.code === 'ERR_CONFIG' && message.test(error.message),
      );
    });
  }

  it('is an option of load, and a wrong one is refused before anything is fetched', () => {
    const { base, motionModule, loras } = readLoadOptions({
      base: address,
      motionModule: { path: address, version: 'v3' },
      loras: [address, { path: address, scale: 2 }],
    });
    assert.ok(base.endsWith(`#sha256=${SHA256}`) && motionModule?.path === TEXT);
    assert.deepEqual(
      loras.map(({ scale }) => scale),
      [1, 2],
    );
    for (const [value, message] of [
      [{ url: URL_TEXT, sha256: 'ab' }, /'ab' is no SHA-256/],
      [{ url: 'file:///etc/passwd', sha256: SHA256 }, /no http: or https: address/],
      [Object.assign({ token: 'x' }, address), /only the keys url, sha256/],
    ] as const) {
      assert.throws(
        () => readLoras([value]),
        (error) =>
          error instanceof AnimateDiffError &&
          error.code === 'ERR_INVALID_ARGUMENT' &&
          message.test(error.message),
      );
    }
  });

  it('may not contradict the hash in the address', () => {
    const other = { url: TEXT, sha256: 'cd'.repeat(32) };
    assert.throws(() => parseSource(other), { code: 'ERR_INVALID_ARGUMENT', message: /another SHA-256/ });
    assert.equal(parseSource({ url: TEXT, sha256: SHA256 }).kind, 'url');
  });
});
