import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { createTokenizer, PROMPT_LENGTH, SEQUENCE_LENGTH } from '../../lib/prompt/tokenizer.ts';

interface Entry {
  readonly text: string;
  readonly ids: readonly number[];
  readonly dropped?: string;
}

const fixtures = new URL('../fixtures/prompt/', import.meta.url);
const entries: readonly Entry[] = JSON.parse(readFileSync(new URL('tokens.json', fixtures), 'utf8'));
const prompts: readonly string[] = JSON.parse(readFileSync(new URL('prompts.json', fixtures), 'utf8'));
const [START, END] = [49406, 49407];

describe('the tokenizer', () => {
  const tokenizer = createTokenizer();

  it(`gives the ids of transformers' CLIPTokenizer for ${entries.length} real prompts and hard strings`, () => {
    assert.ok(entries.length > 250);
    for (const { text, ids } of entries) {
      assert.deepEqual(tokenizer.encode(text), ids, `ids of ${JSON.stringify(text)}`);
    }
  });

  it('pads and cuts every sequence to 77 tokens', () => {
    for (const { text, ids } of entries) {
      const used = ids.slice(0, PROMPT_LENGTH);
      const padding = Array<number>(SEQUENCE_LENGTH - 1 - used.length).fill(END);
      const { ids: sequence, length } = tokenizer.tokenize(text);
      assert.deepEqual(
        Array.from(sequence),
        [START, ...used, ...padding],
        `sequence of ${JSON.stringify(text)}`,
      );
      assert.equal(length, ids.length);
    }
  });

  it('reports the text that was dropped as the reference does, and only then', () => {
    for (const { text, dropped } of entries) assert.equal(tokenizer.tokenize(text).dropped, dropped);
    const lyriel = prompts.find((prompt) => prompt.startsWith('dark shot, epic realistic')) ?? '';
    assert.match(tokenizer.tokenize(lyriel).dropped ?? '', /^artgerm , soft cinematic light , adobe/);
  });

  it('makes the start token and 76 end tokens of an empty prompt', () => {
    const { ids, length, dropped } = tokenizer.tokenize('');
    assert.deepEqual(Array.from(ids), [START, ...Array<number>(76).fill(END)]);
    assert.equal(length, 0);
    assert.equal(dropped, undefined);
  });

  it('gives the published ids of a mixed string', () => {
    assert.deepEqual(
      tokenizer.encode("it's  a TEST\n1000 (word:1.2) [x] émotion 猫 don't"),
      [
        585, 568, 320, 1628, 272, 271, 271, 271, 263, 2653, 281, 272, 269, 273, 264, 314, 343, 316, 3459,
        7860, 163, 234, 360, 847, 713,
      ],
    );
  });

  it('keeps special tokens that are written in a prompt', () => {
    assert.deepEqual(tokenizer.encode('a cat<|endoftext|>a cat'), [320, 2368, END, 320, 2368]);
  });

  it('accepts text with half a surrogate pair', () => {
    assert.deepEqual(tokenizer.encode('a\ud83d cat'), tokenizer.encode('a\ufffd cat'));
  });

  it('decodes to lower-case words', () => {
    assert.equal(tokenizer.decode(tokenizer.encode('A  Cat, sitting')), 'a cat , sitting');
    assert.equal(tokenizer.decode([]), '');
  });

  it('is built once', () => {
    assert.equal(createTokenizer(), tokenizer);
  });

  it('needs time in proportion to the text, also for one endless word', () => {
    const started = performance.now();
    assert.ok(tokenizer.tokenize('x'.repeat(200_000)).length > 1000);
    assert.ok(performance.now() - started < 5000);
  });
});
