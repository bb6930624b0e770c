/** The safetensors reader: what it returns for good files, and that every kind of damage is one clear error. */
import assert from 'node:assert/strict';
import { truncateSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readSafetensors } from '../../lib/weights/safetensors.ts';
import { rejects } from './support/errors.ts';
import {
  safetensorsBytes,
  safetensorsHeader,
  temporaryFolder,
  writeBytes,
  writeHeaderOnly,
} from './support/files.ts';

const folder = temporaryFolder();
const file = path.join(folder, 'model.safetensors');

const GOOD = safetensorsHeader(
  new Map([
    ['a', [2, 3]],
    ['b', []],
    ['c', [4]],
  ]),
  'F16',
);
const GOOD_BYTES = 22;

describe('readSafetensors', () => {
  it('lists names, dtypes, shapes, offsets from the start of the file, and metadata', async () => {
    const header = { __metadata__: { format: 'pt', 'modelspec.title': 'x' }, ...GOOD };
    writeBytes(file, safetensorsBytes(header, GOOD_BYTES));
    const start = 8 + JSON.stringify(header).length;
    const found = await readSafetensors(file);
    assert.equal(found.format, 'safetensors');
    assert.equal(found.size, start + GOOD_BYTES);
    assert.deepEqual(found.metadata, { format: 'pt', 'modelspec.title': 'x' });
    assert.deepEqual(
      [...found.tensors],
      [
        ['a', { file, offset: start, dtype: 'F16', shape: [2, 3] }],
        ['b', { file, offset: start + 12, dtype: 'F16', shape: [] }],
        ['c', { file, offset: start + 14, dtype: 'F16', shape: [4] }],
      ],
    );
  });

  it('accepts padding, tensors in any order, empty tensors and names of object properties', async () => {
    const entry = (begin: number, end: number, shape: number[]) => ({
      dtype: 'U8',
      shape,
      data_offsets: [begin, end],
    });
    const header = `{"b":${JSON.stringify(entry(2, 4, [2]))},"__proto__":${JSON.stringify(entry(0, 2, [2]))},
      "e":${JSON.stringify(entry(2, 2, [0, 5]))}}   `;
    writeBytes(file, safetensorsBytes(header, 4));
    const { tensors } = await readSafetensors(file);
    assert.deepEqual([...tensors.keys()], ['b', '__proto__', 'e']);
    assert.equal(tensors.get('__proto__')?.offset, 8 + Buffer.byteLength(header));
    assert.equal(({} as Record<string, unknown>).dtype, undefined);
  });

  it('reads offsets beyond 4 GiB exactly', async () => {
    const shapes = new Map([
      ['big', [3 * 2 ** 30]],
      ['last', [5]],
    ]);
    writeHeaderOnly(file, shapes, 'F16');
    const { tensors, size } = await readSafetensors(file);
    assert.equal(tensors.get('last')?.offset, size - 10);
    assert.ok(size > 6 * 2 ** 30);
  });

  it('reads a header of 100,000 tensors', async () => {
    const shapes = new Map(Array.from({ length: 100_000 }, (_, index) => [`layer.${index}.weight`, [1]]));
    writeHeaderOnly(file, shapes, 'F32');
    assert.equal((await readSafetensors(file)).tensors.size, 100_000);
  });

  it('refuses a file that is cut off at any byte', async () => {
    const bytes = safetensorsBytes(GOOD, GOOD_BYTES);
    for (let length = bytes.length - 1; length >= 0; length--) {
      writeBytes(file, bytes.subarray(0, length));
      await rejects(
        readSafetensors(file),
        'ERR_FILE_CORRUPT',
        /model\.safetensors is damaged/,
        `at ${length}:`,
      );
    }
  });

  it('refuses a file that became shorter than its header says, at any size', async () => {
    writeHeaderOnly(file, new Map([['big', [2 ** 31]]]), 'F16');
    truncateSync(file, 2 ** 31);
    const error = await rejects(readSafetensors(file), 'ERR_FILE_CORRUPT', /tensor 'big' ends at byte/);
    assert.equal(error.details.reason, 'truncated');
  });

  const entry = (changes: object) => ({ dtype: 'F32', shape: [2], data_offsets: [0, 8], ...changes });
  const broken: readonly (readonly [what: string, header: unknown, data: number, message: RegExp])[] = [
    ['bytes after the last tensor', { a: entry({}) }, 9, /1 bytes at its end belong to no tensor/],
    [
      'a hole before a tensor',
      { a: entry({}), b: entry({ data_offsets: [12, 20] }) },
      20,
      /4 bytes before tensor 'b'/,
    ],
    ['overlapping tensors', { a: entry({}), b: entry({ data_offsets: [4, 12] }) }, 12, /'b' overlaps/],
    ['two tensors in one place', { a: entry({}), b: entry({}) }, 8, /'b' overlaps/],
    ['swapped offsets', { a: entry({ data_offsets: [8, 0] }) }, 8, /has -8 bytes/],
    ['negative offsets', { a: entry({ data_offsets: [-8, 0] }) }, 8, /no valid data_offsets/],
    ['fractional offsets', { a: entry({ data_offsets: [0, 8.5] }) }, 8, /no valid data_offsets/],
    ['three offsets', { a: entry({ data_offsets: [0, 8, 8] }) }, 8, /no valid data_offsets/],
    [
      'offsets beyond the file',
      { a: entry({ shape: [4], data_offsets: [0, 16] }) },
      8,
      /ends at byte 16 of 8/,
    ],
    ['a dtype that is a lie', { a: entry({ dtype: 'F16' }) }, 8, /has 8 bytes, but F16 \[2\] takes 4/],
    ['a shape that is a lie', { a: entry({ shape: [3] }) }, 8, /has 8 bytes, but F32 \[3\] takes 12/],
    ['an unknown dtype', { a: entry({ dtype: 'F31' }) }, 8, /unknown dtype 'F31'/],
    ['a dtype from the prototype', { a: entry({ dtype: 'toString' }) }, 8, /unknown dtype 'toString'/],
    ['no dtype', { a: entry({ dtype: null }) }, 8, /unknown dtype null/],
    ['a shape that is no list', { a: entry({ shape: 2 }) }, 8, /has no shape/],
    ['a negative size', { a: entry({ shape: [-2] }) }, 8, /impossible shape \[-2\]/],
    ['a size that is no number', { a: entry({ shape: ['2'] }) }, 8, /impossible shape/],
    ['a shape beyond 2^53 elements', { a: entry({ shape: [2 ** 30, 2 ** 30] }) }, 8, /impossible shape/],
    ['a tensor without a description', { a: null }, 0, /'a' has no description/],
    ['metadata that is no object', { __metadata__: [] }, 0, /__metadata__ is not an object/],
    ['metadata that is no text', { __metadata__: { step: 3 } }, 0, /metadata 'step' is not a string/],
    ['a header that is a list', '[]', 0, /does not start with \{/],
    ['a header that starts with a space', ' {}', 0, /does not start with \{/],
    ['a header that is not JSON', '{"a":', 0, /is not JSON/],
    ['a header with text after it', '{} {}', 0, /is not JSON/],
    [
      'a name that occurs twice',
      `{"a":${JSON.stringify(entry({}))},"a":${JSON.stringify(entry({}))}}`,
      8,
      /names 'a' twice/,
    ],
    ['a name that occurs twice in other letters', '{"a":{},"\\u0061":{}}', 0, /names 'a' twice/],
    ['deep nesting', `{"a":${'['.repeat(1_000_000)}`, 0, /nested deeper than 3/],
    ['an unfinished string', `{"${'a'.repeat(1_000_000)}`, 0, /is not JSON/],
  ];
  for (const [what, header, data, message] of broken) {
    it(`refuses ${what}`, async () => {
      writeBytes(file, safetensorsBytes(header, data));
      await rejects(readSafetensors(file), 'ERR_FILE_CORRUPT', message);
    });
  }

  it('names a dtype that the format knows and the engine does not', async () => {
    writeBytes(file, safetensorsBytes({ a: { dtype: 'U32', shape: [1], data_offsets: [0, 4] } }, 4));
    await rejects(readSafetensors(file), 'ERR_FILE_FORMAT', /stores tensor 'a' as U32.*Convert it/);
  });

  it('refuses absurd header lengths without reading that much', async () => {
    for (const length of [(32n << 20n) + 1n, 2n ** 40n, 2n ** 63n, 2n ** 64n - 1n]) {
      const bytes = safetensorsBytes('{}', 100);
      bytes.writeBigUInt64LE(length);
      writeBytes(file, bytes);
      await rejects(readSafetensors(file), 'ERR_FILE_CORRUPT', /its header claims \d+ bytes/);
    }
  });

  it('refuses a header that is not UTF-8', async () => {
    const bytes = safetensorsBytes({ a: 'xx' });
    bytes[12] = 0xff;
    writeBytes(file, bytes);
    await rejects(readSafetensors(file), 'ERR_FILE_CORRUPT', /not UTF-8/);
  });

  it('says which path does not exist, is a folder, or is no regular file', async () => {
    await rejects(readSafetensors(path.join(folder, 'none')), 'ERR_FILE_NOT_FOUND', /none does not exist/);
    await rejects(
      readSafetensors(path.join(file, 'below')),
      'ERR_FILE_NOT_FOUND',
      /cannot be read \(ENOTDIR\)/,
    );
    await rejects(readSafetensors(folder), 'ERR_FILE_FORMAT', /is a folder/);
    await rejects(readSafetensors('/dev/zero'), 'ERR_FILE_FORMAT', /not a regular file/);
  });
});
