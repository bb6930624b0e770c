import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AnimateDiffError } from '../../lib/errors.ts';
import { assertPlatform, currentPlatform, olderThan, platformProblem } from '../../lib/libtorch/platform.ts';

const DEBIAN = { os: 'linux', arch: 'x64', kernel: '6.1.0', glibc: '2.36' };

describe('the platform', () => {
  it('is fine on Linux with glibc', () => {
    assert.equal(platformProblem(DEBIAN), undefined);
    assert.equal(platformProblem({ ...DEBIAN, arch: 'arm64', glibc: '2.28' }), undefined);
  });

  const wrong: readonly [string, Partial<typeof DEBIAN> & { glibc?: string }, RegExp][] = [
    ['musl', { glibc: undefined }, /musl.*Debian-based image/s],
    ['an old glibc', { glibc: '2.27' }, /glibc 2\.28 or newer.*has 2\.27/],
    ['macOS', { os: 'darwin' }, /runs on Linux, and this is darwin/],
    ['Windows', { os: 'win32' }, /runs on Linux, and this is win32.*WSL 2/],
    ['a 32-bit processor', { arch: 'ia32' }, /no LibTorch for ia32/],
  ];
  for (const [name, change, message] of wrong) {
    it(`has a way out for ${name}`, () => {
      const platform = { ...DEBIAN, ...change } as typeof DEBIAN;
      assert.match(platformProblem(platform) ?? '', message);
      assert.throws(
        () => assertPlatform(platform),
        (error) =>
          error instanceof AnimateDiffError && error.code === 'ERR_PLATFORM' && message.test(error.message),
      );
    });
  }

  it('finds the glibc that this process runs with', () => {
    assert.match(currentPlatform().glibc ?? '', /^2\.\d+$/);
  });

  it('compares versions by number', () => {
    assert.equal(olderThan('2.9', '2.28'), true);
    assert.equal(olderThan('2.28', '2.28'), false);
    assert.equal(olderThan('580.65.06', '580.65.6'), false);
    assert.equal(olderThan('570.211.01', '580.65.06'), true);
    assert.equal(olderThan('3', '2.28'), false);
  });
});
