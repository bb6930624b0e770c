/** The reader of torch checkpoints, against files that torch wrote and against hostile ones. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiffError } from '../../lib/errors.ts';
import { readCheckpoint } from '../../lib/weights/checkpoint.ts';
import { DTYPE_BYTES, type TensorSource } from '../../lib/weights/types.ts';
import { rejects } from './support/errors.ts';
import { temporaryFolder, writeBytes } from './support/files.ts';
import { FIXTURES } from './support/key-lists.ts';
import {
  call,
  dict,
  int,
  type Piece,
  pickle,
  program,
  storage,
  tensor,
  text,
  tuple,
} from './support/pickle-bytes.ts';
import { writeZip, type ZipEntry } from './support/zip-writer.ts';

interface ExpectedTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: string;
}
type Expected = Readonly<Record<string, Readonly<Record<string, ExpectedTensor>>>>;

const EXPECTED = JSON.parse(readFileSync(path.join(FIXTURES, 'expected.json'), 'utf8')) as Expected;

const DTYPE_NAMES: Readonly<Record<string, string>> = {
  'torch.float64': 'F64',
  'torch.float32': 'F32',
  'torch.float16': 'F16',
  'torch.bfloat16': 'BF16',
  'torch.int64': 'I64',
  'torch.int32': 'I32',
  'torch.int16': 'I16',
  'torch.int8': 'I8',
  'torch.uint8': 'U8',
  'torch.bool': 'BOOL',
  'torch.float8_e4m3fn': 'F8_E4M3',
  'torch.float8_e5m2': 'F8_E5M2',
};

const folder = temporaryFolder();
const file = path.join(folder, 'model.ckpt');
const fixture = (name: string) => path.join(FIXTURES, name);

/** The elements of a tensor in row-major order, gathered from the file by its strides. */
function gather({ file: source, offset, dtype, shape, strides }: TensorSource): string {
  const bytes = readFileSync(source);
  const size = DTYPE_BYTES[dtype];
  const steps =
    strides ?? shape.map((_, axis) => shape.slice(axis + 1).reduce((product, length) => product * length, 1));
  const indices = shape.reduce<number[]>(
    (all, length, axis) =>
      all.flatMap((index) => Array.from({ length }, (_, at) => index + at * (steps[axis] ?? 0))),
    [0],
  );
  return indices
    .map((index) => bytes.toString('hex', offset + index * size, offset + (index + 1) * size))
    .join('');
}

async function matchesExpected(name: string, expected: Expected[string]): Promise<void> {
  const { tensors } = await readCheckpoint(fixture(name));
  assert.deepEqual([...tensors.keys()], Object.keys(expected));
  for (const [key, { dtype, shape, bytes }] of Object.entries(expected)) {
    const source = tensors.get(key);
    assert.ok(source !== undefined);
    assert.equal(source.dtype, DTYPE_NAMES[dtype], key);
    assert.deepEqual(source.shape, shape, key);
    assert.equal(gather(source), bytes, key);
  }
}

/** A checkpoint of the zip format from a pickle and the bytes of its storages. */
function zipCheckpoint(
  data: Buffer,
  storages: Record<string, Buffer | ZipEntry> = {},
  more: ZipEntry[] = [],
): string {
  const entries = Object.entries(storages).map(([key, value]) =>
    Buffer.isBuffer(value) ? { name: `model/data/${key}`, data: value } : value,
  );
  return writeZip(file, [{ name: 'model/data.pkl', data }, ...entries, ...more]);
}

const LEGACY_MAGIC = pickle('\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.');

/** A checkpoint of the legacy format; `parts` may replace its pickles. */
function legacyCheckpoint(
  root: Piece,
  storages: readonly (readonly [key: string, count: number, data: Buffer])[],
  parts: { protocol?: Buffer; system?: Buffer } = {},
): string {
  const raw = storages.map(([, count, data]) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(count));
    return Buffer.concat([length, data]);
  });
  return writeBytes(
    file,
    pickle(
      LEGACY_MAGIC,
      parts.protocol ?? program('M\xe9\x03'),
      parts.system ?? program(dict(['little_endian', '\x88'])),
      program(root),
      program(pickle('](', ...storages.map(([key]) => text(key)), 'e')),
      ...raw,
    ),
  );
}

const zeros = (bytes: number) => Buffer.alloc(bytes);

describe('readCheckpoint, on files that torch wrote', () => {
  for (const [name, expected] of Object.entries(EXPECTED)) {
    for (const form of ['zip', 'legacy'].filter((variant) => existsSync(fixture(`${name}.${variant}.pt`)))) {
      it(`finds every tensor of ${name} in the ${form} format, byte for byte`, () =>
        matchesExpected(`${name}.${form}.pt`, expected));
    }
  }

  for (const protocol of [3, 4, 5]) {
    it(`reads pickle protocol ${protocol}`, () =>
      matchesExpected(`lightning.protocol${protocol}.pt`, EXPECTED.lightning ?? {}));
  }

  it('keeps strides only of tensors that are not contiguous', async () => {
    const { tensors } = await readCheckpoint(fixture('layouts.zip.pt'));
    const strided = [...tensors].filter(([, { strides }]) => strides !== undefined).map(([name]) => name);
    assert.deepEqual(strided, ['transposed', 'slice', 'expanded', 'channels_last']);
    assert.deepEqual(tensors.get('transposed')?.strides, [1, 3]);
  });

  it('turns scalars beside the tensors into metadata, and leaves optimizer and callbacks out', async () => {
    const { metadata, tensors } = await readCheckpoint(fixture('lightning.zip.pt'));
    assert.equal(metadata.epoch, '3');
    assert.equal(metadata.global_step, '123456789012');
    assert.equal(metadata['pytorch-lightning_version'], '1.4.2');
    assert.ok([...tensors.keys()].every((name) => /^(inner|norm)\./.test(name)));
  });

  it('keeps keys such as __proto__ as plain keys', async () => {
    const { metadata } = await readCheckpoint(fixture('proto-key.zip.pt'));
    assert.deepEqual(metadata, { polluted: 'yes' });
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });
});

describe('readCheckpoint, on damaged files', () => {
  for (const name of [
    'layouts.zip.pt',
    'config-object.zip.pt',
    'layouts.legacy.pt',
    'config-object.legacy.pt',
  ]) {
    it(`refuses ${name} cut off at any place`, async () => {
      const bytes = readFileSync(fixture(name));
      const step = Math.ceil(bytes.length / 200);
      for (let length = 0; length < bytes.length; length += step) {
        writeFileSync(file, bytes.subarray(0, length));
        await rejects(readCheckpoint(file), ['ERR_FILE_CORRUPT', 'ERR_FILE_FORMAT'], /./, `at ${length}:`);
      }
    });

    it(`survives ${name} with any byte changed`, async () => {
      const bytes = readFileSync(fixture(name));
      const step = Math.ceil(bytes.length / 300);
      let refused = 0;
      for (let at = 0; at < bytes.length; at += step) {
        const changed = Buffer.from(bytes);
        changed[at] = (bytes[at] ?? 0) ^ (at % 2 === 0 ? 0xff : 0x01);
        writeFileSync(file, changed);
        try {
          await readCheckpoint(file);
        } catch (error) {
          assert.ok(error instanceof AnimateDiffError, `byte ${at}: ${error}`);
          refused += 1;
        }
      }
      assert.ok(refused > 20, `${refused} changes were noticed`);
    });
  }

  it('refuses a tensor that leaves its storage, in either format', async () => {
    const root = program(dict(['w', tensor('0', [4], { length: 3 })]));
    await rejects(
      readCheckpoint(zipCheckpoint(root, { 0: zeros(12) })),
      'ERR_FILE_CORRUPT',
      /'w' needs 16 bytes of a storage with 12/,
    );
    legacyCheckpoint(dict(['w', tensor('0', [4], { length: 3 })]), [['0', 3, zeros(12)]]);
    await rejects(readCheckpoint(file), 'ERR_FILE_CORRUPT', /'w' needs 16 bytes of a storage with 12/);
  });

  it('refuses offsets and strides that leave the storage', async () => {
    for (const [what, options] of [
      ['offset', { length: 4, offset: 1 }],
      ['stride', { length: 4, strides: [2] }],
      ['wide offset', { length: 4, offset: 0x7fffffff }],
    ] as const) {
      const root = program(dict(['w', tensor('0', [4], options)]));
      await rejects(
        readCheckpoint(zipCheckpoint(root, { 0: zeros(16) })),
        'ERR_FILE_CORRUPT',
        /'w' needs/,
        what,
      );
    }
  });

  it('refuses shapes beyond 2^53 elements, also with stride 0', async () => {
    const huge = [0x7fffffff, 0x7fffffff, 0x7fffffff];
    const root = program(dict(['w', tensor('0', huge, { length: 1, strides: [0, 0, 0] })]));
    await rejects(
      readCheckpoint(zipCheckpoint(root, { 0: zeros(4) })),
      'ERR_FILE_CORRUPT',
      /impossible shape/,
    );
  });

  it('refuses a storage that is shorter than the pickle says, or missing', async () => {
    const root = program(dict(['w', tensor('0', [4])]));
    await rejects(
      readCheckpoint(zipCheckpoint(root, { 0: zeros(15) })),
      'ERR_FILE_CORRUPT',
      /storage '0' has 15 bytes instead of 16/,
    );
    await rejects(readCheckpoint(zipCheckpoint(root)), 'ERR_FILE_CORRUPT', /no zip entry 'model\/data\/0'/);
    const claimed = { name: 'model/data/0', data: zeros(4), claimedSize: 1 << 30 };
    await rejects(
      readCheckpoint(zipCheckpoint(root, { 0: claimed })),
      'ERR_FILE_CORRUPT',
      /overflows file bounds/,
    );
  });

  it('refuses compressed and encrypted entries', async () => {
    const root = program(dict(['w', tensor('0', [1])]));
    for (const change of [{ method: 8 }, { flags: 1 }]) {
      const entry = { name: 'model/data/0', data: zeros(4), ...change };
      await rejects(
        readCheckpoint(zipCheckpoint(root, { 0: entry })),
        'ERR_FILE_FORMAT',
        /compressed or encrypted/,
      );
    }
  });

  it('refuses archives with entries of one name, or with two pickles', async () => {
    const root = program(dict(['w', tensor('0', [1])]));
    const twice = { name: 'model/data.pkl', data: root };
    await rejects(
      readCheckpoint(zipCheckpoint(root, {}, [twice])),
      'ERR_FILE_CORRUPT',
      /'model\/data.pkl' occurs twice/,
    );
    const second = { name: 'other/data.pkl', data: root };
    await rejects(
      readCheckpoint(zipCheckpoint(root, {}, [second])),
      'ERR_FILE_CORRUPT',
      /2 entries named data.pkl/,
    );
  });

  it('refuses directories that point anywhere', async () => {
    const bytes = readFileSync(zipCheckpoint(program(dict(['w', tensor('0', [1])])), { 0: zeros(4) }));
    const end64 = bytes.lastIndexOf(Buffer.from('PK\x06\x06', 'latin1'));
    for (const [at, value] of [
      [end64 + 48, 2n ** 63n],
      [end64 + 48, 2n ** 53n + 2n],
      [end64 + 32, 2n ** 40n],
      [bytes.lastIndexOf(Buffer.from('PK\x06\x07', 'latin1')) + 8, 2n ** 62n],
      [bytes.lastIndexOf(Buffer.from('PK\x01\x02', 'latin1')) + 46 + 'model/data/0'.length + 4, 2n ** 63n],
    ] as const) {
      const changed = Buffer.from(bytes);
      changed.writeBigUInt64LE(value, at);
      writeFileSync(file, changed);
      await rejects(readCheckpoint(file), 'ERR_FILE_CORRUPT', /./, `at ${at}:`);
    }
  });

  it('refuses legacy storages that claim more than the file has', async () => {
    for (const count of [5, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      legacyCheckpoint(dict(['w', tensor('0', [4])]), [['0', count, zeros(16)]]);
      await rejects(readCheckpoint(file), 'ERR_FILE_CORRUPT', /more than the file has left/);
    }
  });

  it('refuses other byte orders and protocol versions', async () => {
    const root = program(dict(['w', tensor('0', [1])]));
    const order = { name: 'model/byteorder', data: Buffer.from('big') };
    await rejects(
      readCheckpoint(zipCheckpoint(root, { 0: zeros(4) }, [order])),
      'ERR_FILE_FORMAT',
      /byte order 'big'/,
    );
    const parts = [{ system: program(dict(['little_endian', '\x89'])) }, { protocol: program('M\xea\x03') }];
    for (const part of parts) {
      legacyCheckpoint(dict(['w', tensor('0', [1])]), [['0', 1, zeros(4)]], part);
      await rejects(readCheckpoint(file), 'ERR_FILE_FORMAT', /big-endian|version 1002/);
    }
  });

  it('names an element type that is not supported', async () => {
    const complex = call(
      'torch._utils',
      '_rebuild_tensor_v2',
      storage('0', 1, 'ComplexFloatStorage'),
      int(0),
      tuple(int(1)),
      tuple(int(1)),
    );
    await rejects(
      readCheckpoint(zipCheckpoint(program(dict(['w', complex])), { 0: zeros(8) })),
      'ERR_FILE_FORMAT',
      /'w' as complex64/,
    );
  });
});

describe('readCheckpoint, on hostile pickles', () => {
  it('never runs what a pickle asks for', async () => {
    const trace = path.join(folder, 'executed');
    const attacks = [
      call('os', 'system', text(`touch ${trace}`)),
      call('posix', 'system', text(`touch ${trace}`)),
      call('builtins', 'eval', text(`__import__('os').system('touch ${trace}')`)),
      call('builtins', 'exec', text(`require('fs').writeFileSync('${trace}', '')`)),
      call('node:fs', 'writeFileSync', text(trace), text('')),
      pickle(call('types', 'FunctionType', text('x')), tuple(text(trace)), 'R'),
    ];
    for (const attack of attacks) {
      const root = program(dict(['w', tensor('0', [1])], ['attack', attack]));
      const { tensors } = await readCheckpoint(zipCheckpoint(root, { 0: zeros(4) }));
      assert.deepEqual([...tensors.keys()], ['w']);
      await rejects(readCheckpoint(zipCheckpoint(program(attack))), 'ERR_FILE_FORMAT', /holds no tensors/);
    }
    assert.equal(existsSync(trace), false);
  });

  it('reads storages only where the archive has them', async () => {
    const root = program(dict(['w', tensor('../../etc/passwd', [1])]));
    await rejects(readCheckpoint(zipCheckpoint(root)), 'ERR_FILE_CORRUPT', /no zip entry/);
  });

  it('ends on containers that contain themselves or unfold without end', async () => {
    const cyclic = program('}q\x00(', text('self'), 'h\x00', text('w'), tensor('0', [1]), 'u');
    assert.deepEqual(
      [...(await readCheckpoint(zipCheckpoint(cyclic, { 0: zeros(4) }))).tensors.keys()],
      ['w'],
    );
    const level = (index: number) =>
      pickle(
        `}q${String.fromCharCode(index)}(`,
        ...['a', 'b', 'c'].flatMap((key) => [text(key), `h${String.fromCharCode(index - 1)}`]),
        'u',
      );
    const levels = Array.from({ length: 60 }, (_, index) => level(index + 1));
    const bomb = program('}q\x00', ...levels, dict(['w', tensor('0', [1])]));
    assert.equal((await readCheckpoint(zipCheckpoint(bomb, { 0: zeros(4) }))).tensors.size, 1);
    await rejects(
      readCheckpoint(zipCheckpoint(program('}q\x00', ...levels))),
      'ERR_FILE_FORMAT',
      /holds no tensors/,
    );
  });

  it('unfolds nested dicts to a bounded depth', async () => {
    const nested = Array.from({ length: 40 }).reduce<Buffer>(
      (inner) => dict(['n', inner]),
      dict(['w', tensor('0', [1])]),
    );
    await rejects(
      readCheckpoint(zipCheckpoint(program(nested), { 0: zeros(4) })),
      'ERR_FILE_FORMAT',
      /holds no tensors/,
    );
  });

  it('refuses malformed tensors and storages', async () => {
    const rebuild = (...args: Piece[]) => call('torch._utils', '_rebuild_tensor_v2', ...args);
    const malformed = [
      rebuild(storage('0', 1), int(0), tuple(int(-1)), tuple(int(1))),
      rebuild(storage('0', 1), int(0), tuple(int(1)), tuple()),
      rebuild(storage('0', 1), pickle('G', zeros(8)), tuple(text('x')), tuple(int(1))),
      rebuild(storage('0', 1, 'NoStorage'), int(0), tuple(int(1)), tuple(int(1))),
      rebuild(storage('0', -1), int(0), tuple(int(1)), tuple(int(1))),
    ];
    for (const value of malformed) {
      await rejects(
        readCheckpoint(zipCheckpoint(program(dict(['w', value])), { 0: zeros(4) })),
        'ERR_PICKLE',
        /cannot be read safely/,
      );
    }
  });
});

describe('readCheckpoint, on rare forms', () => {
  it('locates entries beyond 4 GiB', async () => {
    const data = Buffer.from('0000803f', 'hex');
    const root = program(dict(['w', tensor('0', [1])]));
    zipCheckpoint(root, { 0: { name: 'model/data/0', data, gap: 5 * 2 ** 30 } });
    const source = (await readCheckpoint(file)).tensors.get('w');
    assert.ok(source !== undefined && source.offset > 5 * 2 ** 30);
  });

  it('reads views of storages and module classes in legacy files', async () => {
    const view = pickle(
      tuple(
        text('storage'),
        call0('torch', 'FloatStorage'),
        text('v'),
        text('cpu'),
        int(8),
        tuple(text('0'), int(2), int(3)),
      ),
      'Q',
    );
    const viewed = call('torch._utils', '_rebuild_tensor', view, int(1), tuple(int(2)), tuple(int(1)));
    const moduleClass = pickle(
      tuple(text('module'), call0('torch.nn', 'Linear'), text('linear.py'), text('class Linear')),
      'Q',
    );
    const root = dict(['w', viewed], ['class', moduleClass]);
    legacyCheckpoint(root, [['0', 8, zeros(32)]]);
    const { tensors, size } = await readCheckpoint(file);
    assert.equal(tensors.get('w')?.offset, size - 32 + 3 * 4);
  });

  it('reads legacy pickles that are longer than the first part that is tried', async () => {
    const padding = text('x'.repeat(3 << 20));
    legacyCheckpoint(dict(['config', padding], ['w', tensor('0', [2])]), [['0', 2, zeros(8)]]);
    const { tensors, size } = await readCheckpoint(file);
    assert.equal(tensors.get('w')?.offset, size - 8);
  });

  it('reads tensors that are wrapped by a subclass', async () => {
    const inner = tuple(storage('0', 2), int(0), tuple(int(2)), tuple(int(1)));
    const wrapped = call(
      'torch._tensor',
      '_rebuild_from_type_v2',
      call0('torch._utils', '_rebuild_tensor_v2'),
      call0('torch.nn', 'Buffer'),
      inner,
      '}',
    );
    const { tensors } = await readCheckpoint(zipCheckpoint(program(dict(['w', wrapped])), { 0: zeros(8) }));
    assert.deepEqual(tensors.get('w')?.shape, [2]);
  });
});

/** GLOBAL alone. */
function call0(module: string, name: string): Buffer {
  return pickle(`c${module}\n${name}\n`);
}
