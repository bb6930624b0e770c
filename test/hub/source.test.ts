import assert from 'node:assert/strict';
import { homedir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiffError } from '../../lib/errors.ts';
import {
  absolutePath,
  formatSource,
  isRemote,
  parseRemote,
  parseSource,
  type Source,
} from '../../lib/hub/source.ts';

const HASH = 'ab12'.repeat(16);
const COMMIT = '0123456789'.repeat(4);

const hf = (repo: string, inner?: string, revision = 'main'): Source => ({
  kind: 'hf',
  repo,
  revision,
  path: inner,
});
const civitai = (version: string): Source => ({ kind: 'civitai', version });
const url = (address: string): Source => ({ kind: 'url', url: address, sha256: HASH });
const local = (file: string): Source => ({ kind: 'local', path: file });

const FORMS: readonly (readonly [text: string, source: Source])[] = [
  ['hf:owner/repo', hf('owner/repo')],
  ['hf:owner/repo/', hf('owner/repo')],
  ['hf:guoyww/animatediff/mm_sd_v15_v2.ckpt', hf('guoyww/animatediff', 'mm_sd_v15_v2.ckpt')],
  ['hf:owner/re.po_1-x/sub/file.safetensors', hf('owner/re.po_1-x', 'sub/file.safetensors')],
  ['hf:owner/repo@v1.5/file.ckpt', hf('owner/repo', 'file.ckpt', 'v1.5')],
  [`hf:owner/repo@${COMMIT}`, hf('owner/repo', undefined, COMMIT)],
  ['hf:owner/repo@refs%2Fpr%2F3/a.ckpt', hf('owner/repo', 'a.ckpt', 'refs/pr/3')],
  ['hf:owner/repo/odd@name.ckpt', hf('owner/repo', 'odd@name.ckpt')],
  ['hf://owner/repo/file.ckpt', hf('owner/repo', 'file.ckpt')],
  ['https://huggingface.co/owner/repo', hf('owner/repo')],
  ['https://huggingface.co/owner/repo/blob/main/a/b.ckpt', hf('owner/repo', 'a/b.ckpt')],
  ['https://hf.co/owner/repo/resolve/v2/a%20b.ckpt?download=true', hf('owner/repo', 'a b.ckpt', 'v2')],
  ['https://huggingface.co/owner/repo/tree/main/unet', hf('owner/repo', 'unet')],
  ['civitai:78775', civitai('78775')],
  ['https://civitai.com/models/30240?modelVersionId=78775', civitai('78775')],
  ['https://civitai.com/api/download/models/78775', civitai('78775')],
  [`https://example.org/a/b.ckpt#sha256=${HASH}`, url('https://example.org/a/b.ckpt')],
  [`http://127.0.0.1:8080/b?x=1#sha256=${HASH.toUpperCase()}`, url('http://127.0.0.1:8080/b?x=1')],
  [
    `https://huggingface.co/o/r/resolve/main/f#sha256=${HASH}`,
    url('https://huggingface.co/o/r/resolve/main/f'),
  ],
  ['models/toonyou_beta3.safetensors', local('models/toonyou_beta3.safetensors')],
  ['/models/a:b.safetensors', local('/models/a:b.safetensors')],
  ['v2:beta.safetensors', local('v2:beta.safetensors')],
  ['C:\\models\\a.safetensors', local('C:\\models\\a.safetensors')],
  ['~/a.safetensors', local('~/a.safetensors')],
];

/** Text that is no source, and words that the error must have. */
const MISTAKES: readonly (readonly [text: unknown, words: RegExp])[] = [
  ['hf:repo', /expected hf:owner\/repo\. Write for example hf:guoyww/],
  ['hf:', /expected hf:owner\/repo/],
  ['hf:owner/', /expected hf:owner\/repo/],
  ['hf:owner/a--b', /expected hf:owner\/repo/],
  ['hf:../../etc/passwd', /expected hf:owner\/repo/],
  ['hf:owner/repo/../../x', /'\.\.\/\.\.\/x' is no path in it/],
  ['hf:owner/repo//x', /is no path in it/],
  ['hf:owner/repo/a\\b', /is no path in it/],
  ['hf:owner/repo@/x', /'' is no revision/],
  ['hf:owner/repo@..%2F..%2Fx', /is no revision/],
  ['hf:owner/repo@a%2/x', /'a%2' has a wrong %/],
  ['HF:owner/repo', /prefixes are written in lower case/],
  ['huggingface:owner/repo', /`huggingface:` is not known.*hf:guoyww/],
  ['civitai:', /the number of a model version.*civitai:78775/],
  ['civitai:toonyou', /the number of a model version/],
  ['civitai:-1', /the number of a model version/],
  ['https://civitai.com/models/30240', /a model and not one of its versions/],
  ['https://example.org/a.ckpt', /without its SHA-256.*#sha256=/],
  ['https://example.org/a.ckpt#sha256=12ab', /'12ab' is no SHA-256/],
  ['https://', /no http: or https: address/],
  ['s3://bucket/a.ckpt', /`s3:` is not known/],
  ['file:///models/a.ckpt', /`file:` is not known.*models\/toonyou/],
  ['gopher://example.org/a', /`gopher:` is not known/],
  ['', /is no text/],
  ['a\0b', /is no text/],
  [12, /is no text/],
  [null, /is no text/],
  [{ url: 'https://example.org/a.ckpt' }, /without its SHA-256/],
  [{ sha256: HASH }, /expected an address as `url`/],
  [{ url: 'ftp://example.org/a', sha256: HASH }, /no http: or https: address/],
];

describe('a source', () => {
  for (const [text, source] of FORMS) {
    it(`is read from ${text}`, () => assert.deepEqual(parseSource(text), source));
  }

  it('is written so that it is read back', () => {
    for (const [, source] of FORMS) assert.deepEqual(parseSource(formatSource(source)), source);
    assert.equal(formatSource(hf('owner/repo', 'a.ckpt')), 'hf:owner/repo/a.ckpt');
  });

  it('can be an address with its hash beside it', () => {
    assert.deepEqual(
      parseSource({ url: 'https://example.org/a', sha256: HASH }),
      url('https://example.org/a'),
    );
  });

  for (const [text, words] of MISTAKES) {
    it(`is not ${JSON.stringify(text)}, and the error has an example`, () => {
      assert.throws(
        () => parseSource(text as string),
        (error) =>
          error instanceof AnimateDiffError &&
          error.code === 'ERR_INVALID_ARGUMENT' &&
          words.test(error.message),
      );
    });
  }

  it('is remote or a path', () => {
    assert.deepEqual(['hf:a/b', 'civitai:1', 'https://x', 'a.ckpt', './hf:a'].map(isRemote), [
      true,
      true,
      true,
      false,
      false,
    ]);
    assert.throws(() => parseRemote('a.ckpt'), /it is a path on this machine/);
  });

  it('that is a path belongs to a folder or to the home folder', () => {
    assert.equal(absolutePath('a.ckpt', '/models'), '/models/a.ckpt');
    assert.equal(absolutePath('~/a.ckpt', '/models'), path.join(homedir(), 'a.ckpt'));
  });
});
