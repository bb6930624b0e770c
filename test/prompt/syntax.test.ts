import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chunkTokens } from '../../lib/prompt/chunks.ts';
import { type PromptPart, parsePrompt } from '../../lib/prompt/syntax.ts';
import { createTokenizer } from '../../lib/prompt/tokenizer.ts';
import { promptTokens } from '../../lib/prompt/tokens.ts';
import { readSchedule, scheduleTexts } from '../../lib/prompt/travel.ts';

/** Weights are products of 1.1, and compared to 1e-12. */
function assertParts(prompt: string, expected: readonly (readonly [string, number] | 'break')[]): void {
  const parts = parsePrompt(prompt);
  const texts = (part: PromptPart) => (part === 'break' ? part : part.text);
  assert.deepEqual(
    parts.map(texts),
    expected.map((part) => (part === 'break' ? part : part[0])),
    prompt,
  );
  parts.forEach((part, index) => {
    const wanted = expected[index];
    if (part === 'break' || wanted === undefined || wanted === 'break') return;
    assert.ok(Math.abs(part.weight - wanted[1]) < 1e-12, `${part.text}: ${part.weight}`);
  });
}

describe('the prompt syntax', () => {
  const cases: readonly (readonly [string, readonly (readonly [string, number] | 'break')[]])[] = [
    ['a cat', [['a cat', 1]]],
    [
      'a (cat)',
      [
        ['a ', 1],
        ['cat', 1.1],
      ],
    ],
    ['((cat))', [['cat', 1.21]]],
    [
      '(cat:1.5) [dog]',
      [
        ['cat', 1.5],
        [' ', 1],
        ['dog', 1 / 1.1],
      ],
    ],
    ['\\(cat\\) \\[x\\]', [['(cat) [x]', 1]]],
    ['(unbalanced', [['unbalanced', 1.1]]],
    ['a cat) here]', [['a cat) here]', 1]]],
    ['a:1.3) b', [['a:1.3) b', 1]]],
    [
      '(((house:1.3)) [on] a',
      [
        ['house', 1.3 * 1.21],
        [' ', 1.1],
        ['on', 1],
        [' a', 1.1],
      ],
    ],
    ['a BREAK b', [['a', 1], 'break', ['b', 1]]],
    ['breaks BREAKING', [['breaks BREAKING', 1]]],
    ['', []],
  ];
  for (const [prompt, expected] of cases) {
    it(`reads '${prompt}'`, () => assertParts(prompt, expected));
  }
});

describe('chunks of 75 tokens', () => {
  const tokenizer = createTokenizer();
  const used = (prompt: string, embeddings = [] as Parameters<typeof promptTokens>[2]) =>
    chunkTokens(promptTokens(prompt, 'weighted', embeddings, tokenizer)).map(
      ({ ids }) => Array.from(ids).filter((id) => id !== 49406 && id !== 49407).length,
    );

  it('are one for an empty prompt and for up to 75 tokens', () => {
    assert.deepEqual(used(''), [0]);
    assert.deepEqual(used('word '.repeat(75)), [75]);
  });

  it('are full when no comma is near', () => {
    assert.deepEqual(used('word '.repeat(80)), [75, 5]);
    assert.deepEqual(used(`${'word '.repeat(50)}, ${'word '.repeat(30)}`), [75, 6]);
  });

  it('end after a comma among the last 20 tokens', () => {
    assert.deepEqual(used(`${'word '.repeat(60)}, ${'word '.repeat(20)}`), [61, 20]);
  });

  it('never tear an embedding apart', () => {
    const ids = Array.from({ length: 10 }, (_, index) => 49408 + index);
    const embeddings = [{ triggers: ['easynegative'], ids }];
    assert.deepEqual(used(`${'word '.repeat(70)} EasyNegative word`, embeddings), [70, 11]);
  });
});

describe('prompt travel', () => {
  it('holds the first text before and the last text after the keys', () => {
    const { texts, frames } = scheduleTexts([readSchedule('prompt', { 1: 'a', 3: 'b' }, 5)], 5);
    assert.deepEqual(texts, ['a', 'b']);
    assert.deepEqual(frames, [
      { from: 0, to: 0, position: 0 },
      { from: 0, to: 0, position: 0 },
      { from: 0, to: 1, position: 0.5 },
      { from: 1, to: 1, position: 0 },
      { from: 1, to: 1, position: 0 },
    ]);
  });

  for (const [what, prompt] of [
    ['a key beyond the clip', { 0: 'a', 5: 'b' }],
    ['a key that is no frame', { '-1': 'a' }],
    ['no keys', {}],
    ['text that is no text', { 0: 5 as unknown as string }],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => readSchedule('prompt', prompt, 5), { code: 'ERR_INVALID_ARGUMENT' });
    });
  }
});
