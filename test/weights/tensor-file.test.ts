/** Formats are told by content, and what is no weight file is named. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { ErrorCode } from '../../lib/errors.ts';
import { detectFormat, readTensorFile } from '../../lib/weights/tensor-file.ts';
import { rejects } from './support/errors.ts';
import { safetensorsBytes, temporaryFolder, writeBytes, writeHeaderOnly } from './support/files.ts';
import { FIXTURES } from './support/key-lists.ts';
import { program, text } from './support/pickle-bytes.ts';
import { writeZip } from './support/zip-writer.ts';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);
const copied = (fixture: string, name: string) => {
  copyFileSync(path.join(FIXTURES, fixture), at(name));
  return at(name);
};

describe('readTensorFile', () => {
  it('chooses the reader by content, whatever the extension says', async () => {
    const files = [
      [writeHeaderOnly(at('a.ckpt'), new Map([['w', [2]]])), 'safetensors'],
      [copied('lightning.zip.pt', 'b.safetensors'), 'checkpoint'],
      [copied('lightning.legacy.pt', 'c.safetensors'), 'checkpoint-legacy'],
    ] as const;
    for (const [file, format] of files) {
      assert.equal(await detectFormat(file), format);
      assert.equal((await readTensorFile(file)).format, format);
    }
  });

  it('takes a safetensors header of any length for what it is', async () => {
    for (const length of [0x7b, 0x0a7b, 0x5050, 0x4b50, 0x8080]) {
      const header = '{}'.padEnd(length);
      assert.equal((await readTensorFile(writeBytes(at('d'), safetensorsBytes(header)))).tensors.size, 0);
    }
  });

  it('recognises TorchScript archives', async () => {
    const file = copied('scripted.pt', 'e.pt');
    assert.equal(await detectFormat(file), 'torchscript');
    await rejects(readTensorFile(file), 'ERR_FILE_FORMAT', /is a TorchScript archive/);
  });

  const foreign: readonly (readonly [
    what: string,
    content: Buffer | string,
    code: ErrorCode,
    message: RegExp,
  ])[] = [
    ['an empty file', '', 'ERR_FILE_CORRUPT', /is empty/],
    ['zero bytes', Buffer.alloc(4096), 'ERR_FILE_CORRUPT', /interrupted download/],
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n',
      'ERR_FILE_FORMAT',
      /Git LFS pointer.*git lfs pull/,
    ],
    ['a web page', '\n<!DOCTYPE html><html>', 'ERR_FILE_FORMAT', /is a web page/],
    ['an error message', '{"error":"Unauthorized"}', 'ERR_FILE_FORMAT', /is JSON text/],
    ['GGUF', Buffer.from('GGUF\x03\0\0\0'), 'ERR_FILE_FORMAT', /GGUF.*safetensors/],
    ['a plain pickle', program(text('x')), 'ERR_FILE_FORMAT', /plain Python pickle/],
    ['HDF5', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), 'ERR_FILE_FORMAT', /HDF5/],
    ['gzip', Buffer.from('1f8b0800', 'hex'), 'ERR_FILE_FORMAT', /packed archive.*Unpack/],
    ['a picture', Buffer.from('\x89PNG\r\n', 'latin1'), 'ERR_FILE_FORMAT', /picture/],
    ['tar', Buffer.concat([Buffer.alloc(257, 'a'), Buffer.from('ustar')]), 'ERR_FILE_FORMAT', /tar archive/],
    ['other bytes', Buffer.from('0123456789abcdef', 'hex'), 'ERR_FILE_FORMAT', /neither.*0123456789abcdef/],
    ['a single byte', 'x', 'ERR_FILE_FORMAT', /starts with the bytes 78/],
    ['a zip without its end', Buffer.from('PK\x03\x04then nothing'), 'ERR_FILE_CORRUPT', /zip/],
    [
      'a safetensors header of absurd length',
      Buffer.from(`${'\xff'.repeat(8)}{}`, 'latin1'),
      'ERR_FILE_CORRUPT',
      /its header claims/,
    ],
  ];
  for (const [what, content, code, message] of foreign) {
    it(`names ${what}`, async () => {
      await rejects(readTensorFile(writeBytes(at('foreign.safetensors'), content)), code, message);
    });
  }

  it('says of a zip archive without a pickle that it is no checkpoint', async () => {
    const file = writeZip(at('model.zip'), [{ name: 'model.safetensors', data: Buffer.alloc(9) }]);
    await rejects(readTensorFile(file), 'ERR_FILE_FORMAT', /zip archive, but not a torch checkpoint.*unpack/);
  });
});
