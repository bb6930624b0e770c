/** Broken safetensors files: each is one clear error, in bounded time and memory. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiffError } from '../../lib/errors.ts';
import { answer, refuses } from './support/contract.ts';
import { safetensorsBytes, safetensorsHeader, temporaryFolder, writeBytes } from './support/files.ts';

const file = path.join(temporaryFolder(), 'broken.safetensors');
const write = (header: unknown, data: Buffer | number = 0) =>
  writeBytes(file, safetensorsBytes(header, data));
const entry = (changes: object = {}) => ({ dtype: 'F32', shape: [2], data_offsets: [0, 8], ...changes });

describe('a broken safetensors file', () => {
  it('is refused when it is cut off at a kilobyte of its header, one byte before or one after', async () => {
    const shapes = new Map(Array.from({ length: 800 }, (_, index) => [`blocks.${index}.weight`, [2]]));
    const bytes = safetensorsBytes(safetensorsHeader(shapes, 'F16'), 800 * 4);
    for (let kilobyte = 0; kilobyte < bytes.length; kilobyte += 1024) {
      for (const length of [kilobyte - 1, kilobyte, kilobyte + 1].filter((value) => value >= 0)) {
        writeBytes(file, bytes.subarray(0, length));
        await refuses(file, ['ERR_FILE_CORRUPT', 'ERR_FILE_FORMAT'], /./, `cut at ${length}:`);
      }
    }
  });

  it('is refused when a textual inversion is cut off at any byte', async () => {
    const bytes = safetensorsBytes(safetensorsHeader(new Map([['emb_params', [1, 768]]]), 'F16'), 1536);
    const sound = await answer(writeBytes(file, bytes));
    assert.ok(!(sound instanceof AnimateDiffError) && sound.kind === 'textual-inversion');
    for (let length = 0; length < bytes.length; length += length < 100 ? 1 : 13) {
      writeBytes(file, bytes.subarray(0, length));
      await refuses(file, ['ERR_FILE_CORRUPT', 'ERR_FILE_FORMAT'], /./, `cut at ${length}:`);
    }
  });

  const lies: readonly (readonly [what: string, header: unknown, message: RegExp])[] = [
    [
      'offsets beyond 2^53',
      '{"a":{"dtype":"U8","shape":[8],"data_offsets":[9007199254740993,9007199254741001]}}',
      /no valid data_offsets/,
    ],
    [
      'offsets beyond 2^64',
      '{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,1e300]}}',
      /no valid data_offsets/,
    ],
    [
      'bytes of a shape beyond 2^53',
      { a: entry({ shape: [2 ** 26, 2 ** 26], data_offsets: [0, 2 ** 53 - 1] }) },
      /takes 18014398509481984/,
    ],
    [
      '65 axes',
      { a: entry({ shape: Array(65).fill(1), data_offsets: [0, 4] }) },
      /impossible shape \[1, 1, 1, 1, 1, 1, 1, 1, …\]/,
    ],
    [
      'a dtype that has methods',
      { a: entry({ dtype: { toString: 1, valueOf: 1 } }) },
      /unknown dtype an object/,
    ],
    ['a dtype of a megabyte', { a: entry({ dtype: 'F'.repeat(1 << 20) }) }, /unknown dtype 'F{117}…'/],
    ['a name of 1001 characters', { ['n'.repeat(1001)]: entry() }, /name of 1001 characters, over 1000/],
    ['a name with half a character', '{"\\ud800":{}}', /half a character.*in its name/],
    [
      'a name that moves the cursor',
      { '\u001b[2J\u0000': entry({ dtype: 'F31' }) },
      /'\\u001b\[2J\\u0000' has the unknown dtype/,
    ],
    [
      'a dtype that occurs twice',
      '{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,8],"dtype":"F32"}}',
      /names 'dtype' twice/,
    ],
    ['metadata that occur twice', '{"__metadata__":{"a":"1","\\u0061":"2"}}', /names 'a' twice/],
    [
      'metadata with a long name',
      { __metadata__: { ['m'.repeat(1 << 20)]: 1 }, a: entry() },
      /metadata 'm{117}…' is not/,
    ],
  ];
  for (const [what, header, message] of lies) {
    it(`is refused for ${what}`, async () => refuses(write(header, 8), 'ERR_FILE_CORRUPT', message));
  }

  it('is refused for a header of more than 32 MiB, before it is read', async () => {
    await refuses(write('{}'.padEnd((32 << 20) + 1)), 'ERR_FILE_CORRUPT', /claims 33554433 bytes, more than/);
  });

  it('is read in bounded time and memory with a header of 32 MiB', async () => {
    const tensor = (index: number) => `"${index}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`;
    const many = `{${Array.from({ length: 550_000 }, (_, index) => tensor(index)).join(',')}}`;
    const found = await answer(write(many));
    assert.ok(!(found instanceof AnimateDiffError) && found.tensors === 550_000);
    await refuses(
      write(`{"a":{"shape":[${'0,'.repeat(16_000_000)}0],"dtype":"U8","data_offsets":[0,0]}}`),
      'ERR_FILE_CORRUPT',
      /impossible shape/,
    );
    await refuses(
      write(`{"${'\\u0061'.repeat(5_000_000)}":{}}`),
      'ERR_FILE_CORRUPT',
      /name of 5000000 characters/,
    );
    await refuses(write(`{"${'\\\\'.repeat(16_000_000)}`), 'ERR_FILE_CORRUPT', /is not JSON/);
  });

  it('keeps names that mean something to JavaScript as plain names', async () => {
    const names = ['__proto__', 'constructor', 'toString', '\u0000', 'a\u0000b'];
    const entries = names.map(
      (name, at) => `${JSON.stringify(name)}:{"dtype":"U8","shape":[1],"data_offsets":[${at},${at + 1}]}`,
    );
    const found = await answer(
      write(`{${entries.join(',')},"__metadata__":{"__proto__":"x","constructor":"y"}}`, names.length),
    );
    assert.ok(!(found instanceof AnimateDiffError) && found.tensors === names.length);
    assert.deepEqual(Object.entries(found.metadata), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    assert.equal(({} as Record<string, unknown>).dtype, undefined);
  });
});
