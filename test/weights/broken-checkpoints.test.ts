/** Broken and hostile torch checkpoints, zip and older: one clear error each, in bounded time and memory. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { AnimateDiffError } from '../../lib/errors.ts';
import { answer, refuses } from './support/contract.ts';
import { temporaryFolder, writeBytes } from './support/files.ts';
import { FIXTURES } from './support/key-lists.ts';
import { call, dict, int, type Piece, pickle, program, tensor, text, tuple } from './support/pickle-bytes.ts';
import { writeZip, type ZipEntry } from './support/zip-writer.ts';

const folder = temporaryFolder();
const file = path.join(folder, 'broken.ckpt');
const DATA: ZipEntry = { name: 'm/data/0', data: Buffer.alloc(4) };
const scalar = tensor('0', [1]);

/** A zip checkpoint around a pickle; one storage of four bytes lies beside it. */
const checkpoint = (...pieces: readonly Piece[]) =>
  writeZip(file, [{ name: 'm/data.pkl', data: program(...pieces) }, DATA]);

async function tensorsOf(written: string): Promise<number> {
  const found = await answer(written);
  assert.ok(!(found instanceof AnimateDiffError), `${found}`);
  return found.tensors;
}

describe('a broken zip archive', () => {
  it('is refused when it is cut off at a kilobyte of its directory, or at any byte of its end', async () => {
    const entries = Array.from({ length: 300 }, (_, at) => ({ name: `m/data/${at}`, data: Buffer.alloc(4) }));
    writeZip(file, [{ name: 'm/data.pkl', data: program(dict(['w', scalar])) }, ...entries]);
    const bytes = readFileSync(file);
    const cuts = [...Array(Math.floor(bytes.length / 1024)).keys()].map((at) => at * 1024);
    for (let length = bytes.length - 120; length < bytes.length; length++) cuts.push(length);
    for (const length of cuts.slice(1)) {
      writeBytes(file, bytes.subarray(0, length));
      await refuses(file, 'ERR_FILE_CORRUPT', /zip archive/, `cut at ${length}:`);
    }
  });

  it('is refused when an entry is packed, however much it claims to hold, and nothing is unpacked', async () => {
    const bomb = deflateRawSync(Buffer.alloc(64 << 20));
    for (const claimedSize of [bomb.length, 0xfffffffe]) {
      writeZip(file, [{ name: 'm/data.pkl', data: bomb, method: 8, claimedSize }, DATA]);
      await refuses(file, ['ERR_FILE_FORMAT', 'ERR_PICKLE'], /compressed or encrypted|has 4294967294 bytes/);
    }
    const inner = readFileSync(file);
    writeZip(file, [{ name: 'm/data.pkl', data: inner }, DATA]);
    await refuses(file, 'ERR_PICKLE', /cannot be read safely/);
  });

  it('is refused with more than 131072 entries, and read in bounded time with 100000', async () => {
    const entries = (count: number) =>
      Array.from({ length: count }, (_, at) => ({ name: `m/data/${at}`, data: Buffer.alloc(0) }));
    await refuses(writeZip(file, entries(131_073)), 'ERR_FILE_CORRUPT', /claims 131073 zip entries/);
    const sound = { name: 'm/data.pkl', data: program(dict(['w', scalar])) };
    assert.equal(await tensorsOf(writeZip(file, [sound, DATA, ...entries(100_000).slice(1)])), 1);
  });

  it('is refused with more than 64 MiB of names', async () => {
    const name = 'n'.repeat(65_000);
    const entries = Array.from({ length: 1100 }, (_, at) => ({ name: name + at, data: Buffer.alloc(0) }));
    await refuses(writeZip(file, entries), 'ERR_FILE_CORRUPT', /directory has more than 67108864 bytes/);
  });

  it('is refused for names that lead out of it, move the cursor, or occur twice', async () => {
    for (const name of ['../data.pkl', '/data.pkl', 'C:/data.pkl', `\u001b[2J${'x'.repeat(60_000)}/..`]) {
      await refuses(
        writeZip(file, [{ name, data: program('N') }]),
        'ERR_FILE_CORRUPT',
        /relative path|absolute path/,
      );
    }
    const twice = { name: `m/\u001b[2J${'x'.repeat(1000)}`, data: Buffer.alloc(0), flags: 0x0800 };
    await refuses(writeZip(file, [twice, twice]), 'ERR_FILE_CORRUPT', /'m\/\\u001b\[2Jx+…' occurs twice/);
  });

  it('is refused for zip64 fields that lie, at any of them', async () => {
    const sound = readFileSync(checkpoint(dict(['w', scalar])));
    const [end64, locator] = ['PK\x06\x06', 'PK\x06\x07'].map((magic) =>
      sound.lastIndexOf(Buffer.from(magic, 'latin1')),
    );
    for (const at of [(end64 ?? 0) + 24, (end64 ?? 0) + 32, (end64 ?? 0) + 48, (locator ?? 0) + 8]) {
      for (const value of [2n ** 64n - 1n, 2n ** 63n, 2n ** 53n + 1n, 2n ** 32n]) {
        const changed = Buffer.from(sound);
        changed.writeBigUInt64LE(value, at);
        const found = await answer(writeBytes(file, changed), `${value} at ${at}:`);
        // The number of entries on this disk is nowhere used.
        assert.equal(found instanceof AnimateDiffError, at !== (end64 ?? 0) + 24, `${value} at ${at}`);
      }
    }
  });
});

describe('a hostile pickle', () => {
  const shared = (value: Piece, index: number) => pickle(value, `q${String.fromCharCode(index)}0`);
  const bigDict = pickle('}(', ...Array.from({ length: 20_000 }, (_, at) => pickle(int(at), 'N')), 'u');

  it('is refused when it copies one large dict again and again', async () => {
    const copies = 'h\x01h\x00\x85R0'.repeat(100_000);
    const ordered = pickle('ccollections\nOrderedDict\n');
    await refuses(
      checkpoint(shared(bigDict, 0), shared(ordered, 1), copies, 'N'),
      'ERR_PICKLE',
      /more than 5000000 arguments/,
    );
  });

  it('is refused when it gives one large shape to many tensors', async () => {
    const sizes = pickle('(', 'K\x01'.repeat(500_000), 't');
    const rebuild = pickle('ctorch._utils\n_rebuild_tensor_v2\n');
    const storage = pickle(
      tuple(text('storage'), pickle('ctorch\nFloatStorage\n'), text('0'), text('cpu'), int(1)),
      'Q',
    );
    const args = shared(tuple('h\x02', int(0), 'h\x00', 'h\x00'), 3);
    await refuses(
      checkpoint(
        shared(sizes, 0),
        shared(rebuild, 1),
        shared(storage, 2),
        args,
        'h\x01h\x03R0'.repeat(1000),
        'N',
      ),
      'ERR_PICKLE',
      /impossible dtype, shape or stride/,
    );
    const subclass = pickle('ctorch._tensor\n_rebuild_from_type_v2\n');
    const wrapped = shared(tuple('h\x01', 'N', 'h\x03', 'N'), 5);
    await refuses(
      checkpoint(
        shared(sizes, 0),
        shared(rebuild, 1),
        shared(storage, 2),
        args,
        shared(subclass, 4),
        wrapped,
        'h\x04h\x05R0'.repeat(1000),
        'N',
      ),
      'ERR_PICKLE',
      /impossible dtype, shape or stride/,
    );
  });

  it('is searched in linear time when one large dict is the value of many keys', async () => {
    const keys = pickle('}(', ...Array.from({ length: 100_000 }, (_, at) => pickle(int(at), 'h\x00')), 'u');
    await refuses(
      checkpoint(shared(bigDict, 0), '}', text('state_dict'), keys, 's'),
      'ERR_FILE_FORMAT',
      /holds no tensors/,
    );
  });

  it('is refused when its names would be longer than 1000 characters', async () => {
    const inner = dict(...Array.from({ length: 1000 }, (_, at) => [`${at}`, scalar] as const));
    await refuses(
      checkpoint(dict(['k'.repeat(1 << 20), inner])),
      'ERR_PICKLE',
      /name of a tensor has over 1000/,
    );
    await refuses(
      checkpoint(dict(['k'.repeat(1001), scalar])),
      'ERR_PICKLE',
      /name of a tensor has over 1000/,
    );
  });

  it('is refused when the class of its storages has an endless name', async () => {
    const type = shared(pickle(`ctorch${'.a'.repeat(400_000)}\nFloatStorage\n`), 0);
    await refuses(
      checkpoint(type, tuple(text('storage'), 'h\x00', text('0'), text('cpu'), int(1)), 'Q'),
      'ERR_PICKLE',
      /unknown type/,
    );
  });

  it('is read in linear time with 100000 keys', async () => {
    const keys = (count: number) =>
      checkpoint(dict(...Array.from({ length: count }, (_, at) => [`layers.${at}.weight`, scalar] as const)));
    assert.equal(await tensorsOf(keys(100_000)), 100_000);
  });

  it('is refused for two million objects of any kind', async () => {
    const repeated = (type: string, count: number) => Buffer.from(type.repeat(count), 'latin1');
    for (const type of ['}', ']', ')', 'C\x00', 'h\x00)\x81']) {
      const tuples = Array.from({ length: 21 }, () => pickle('(', repeated(type, 100_000), 't'));
      await refuses(checkpoint('ca\nb\nq\x00', ...tuples), 'ERR_PICKLE', /more than 2000000 objects/);
    }
  });

  it('keeps keys that mean something to JavaScript, and replaces halves of characters', async () => {
    const half = pickle('X\x03\x00\x00\x00\xed\xa0\x80');
    const names = ['__proto__', 'constructor', 'a\u0000b'].map((name) => [name, scalar] as const);
    assert.equal(await tensorsOf(checkpoint(dict(...names), half, scalar, 's')), 4);
    assert.equal(({} as Record<string, unknown>).storage, undefined);
  });

  it('is inert when calls are nested without end', async () => {
    const calls = 'ca\nb\n'.repeat(100_000) + 'N'.padEnd(1) + '\x85R'.repeat(100_000);
    await refuses(checkpoint(calls), 'ERR_FILE_FORMAT', /holds no tensors/);
    const states = pickle(call('a', 'b'), ...Array(100_000).fill('2b'));
    await refuses(checkpoint(states), 'ERR_FILE_FORMAT', /holds no tensors/);
  });
});

describe('a broken legacy checkpoint', () => {
  const MAGIC = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.';
  const legacy = (root: Piece, keys: Piece, ...rest: readonly Piece[]) =>
    writeBytes(
      file,
      pickle(MAGIC, program('M\xe9\x03'), program('}'), program(root), program(keys), ...rest),
    );
  const count = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    return bytes;
  };
  const root = dict(['w', scalar]);

  it('is refused for a storage that is listed twice', async () => {
    legacy(
      root,
      pickle(']q\x00(', text('0'), 'q\x01', 'h\x01'.repeat(100_000), 'e'),
      count(0n),
      Buffer.alloc(800_000),
    );
    await refuses(file, 'ERR_FILE_CORRUPT', /lists storage '0' twice/);
  });

  it('is refused for element counts beyond the file, and beyond 2^53', async () => {
    for (const value of [2n, 2n ** 53n + 1n, 2n ** 62n, 2n ** 64n - 1n]) {
      legacy(root, pickle('](', text('0'), 'e'), count(value), Buffer.alloc(4));
      await refuses(file, 'ERR_FILE_CORRUPT', /more than the file has left/, `${value}`);
    }
  });

  it('is refused when it is cut off at any byte', async () => {
    const bytes = readFileSync(legacy(root, pickle('](', text('0'), 'e'), count(1n), Buffer.alloc(4)));
    assert.equal(await tensorsOf(file), 1);
    for (let length = 0; length < bytes.length; length++) {
      writeBytes(file, bytes.subarray(0, length));
      await refuses(file, ['ERR_FILE_CORRUPT', 'ERR_FILE_FORMAT'], /./, `cut at ${length}:`);
    }
  });
});

describe('a broken textual inversion of torch', () => {
  it('is refused when it is cut off anywhere', async () => {
    const bytes = readFileSync(path.join(FIXTURES, 'embedding.zip.pt'));
    for (
      let length = 0;
      length < bytes.length;
      length += length < 64 || length > bytes.length - 64 ? 1 : 61
    ) {
      writeBytes(file, bytes.subarray(0, length));
      await refuses(file, ['ERR_FILE_CORRUPT', 'ERR_FILE_FORMAT'], /./, `cut at ${length}:`);
    }
  });
});
