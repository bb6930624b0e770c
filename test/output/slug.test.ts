import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { slug } from '../../lib/output/slug.ts';

describe('the slug of a prompt', () => {
  for (const [prompt, expected] of [
    [
      'best quality, masterpiece, 1girl, looking at viewer',
      'best-quality-masterpiece-1girl-looking-at-viewer',
    ],
    [
      'one two three four five six seven eight nine ten eleven',
      'one-two-three-four-five-six-seven-eight-nine-ten',
    ],
    ['b&w photo of 42 y.o man', 'b-w-photo-of-42-y.o-man'],
    ['../../etc/passwd', 'etc-passwd'],
    ['a\\b:c*d?e"f<g>h|i', 'a-b-c-d-e-f-g-h-i'],
    ['tab\tnew\nline\u0000nul\u200bzero', 'tab-new-line-nul-zero'],
    ['  --rf  .hidden.  ', 'rf-.hidden'],
    ['猫が好き émotion', '猫が好き-émotion'],
    ['CON', 'clip-CON'],
    ['nul.txt', 'clip-nul.txt'],
    ['console', 'console'],
    ['', 'clip'],
    ['. .. /', 'clip'],
    ['(word:1.2) [x]', 'word-1.2-x'],
  ] as const) {
    it(`${JSON.stringify(prompt)} is ${expected}`, () => {
      assert.equal(slug(prompt), expected);
    });
  }

  it('has at most 120 bytes and no half characters', () => {
    for (const word of ['x', '猫', '😀']) {
      const name = slug(word.repeat(400));
      assert.ok(Buffer.byteLength(name) <= 120 && Buffer.byteLength(name) > 116);
      assert.equal(name.replaceAll(word, ''), '');
    }
  });
});
