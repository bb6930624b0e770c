/** The reader of TorchScript archives, against archives of torch and hostile ones. Nothing in them is run. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AnimateDiffError } from '../../lib/errors.ts';
import { inspectPath } from '../../lib/weights/identify.ts';
import { readTorchScript } from '../../lib/weights/torchscript.ts';
import { rejects } from './support/errors.ts';
import { temporaryFolder } from './support/files.ts';
import { FIXTURES } from './support/key-lists.ts';
import { module, writeModuleArchive } from './support/module-archive.ts';
import { call, global, int, type Piece, pickle, tensor, text, tuple } from './support/pickle-bytes.ts';

const folder = temporaryFolder();
const file = path.join(folder, 'archive.pt');
const fixture = (name: string) => path.join(FIXTURES, name);
const floats = (...values: readonly number[]) => Buffer.from(Float32Array.from(values).buffer);

const write = (root: Piece, storages: Readonly<Record<string, Buffer>> = {}) =>
  writeModuleArchive(file, root, { storages });

async function names(root: Piece, storages: Readonly<Record<string, Buffer>> = {}): Promise<string[]> {
  return [...(await readTorchScript(write(root, storages))).tensors.keys()];
}

describe('readTorchScript', () => {
  it('finds the bytes of the tensors in an archive of torch', async () => {
    const archive = await readTorchScript(fixture('scripted.pt'));
    assert.deepEqual([...archive.tensors.keys()], ['weight']);
    assert.equal(archive.format, 'torchscript');
    assert.equal(archive.extra, undefined);
    const weight = archive.tensors.get('weight');
    assert.ok(weight !== undefined);
    assert.deepEqual([weight.dtype, weight.shape, weight.strides], ['F32', [2, 2], undefined]);
    const bytes = readFileSync(weight.file).subarray(weight.offset, weight.offset + 16);
    assert.deepEqual(bytes, floats(1, 2, 3, 4));
  });

  it('names tensors by the attributes that lead to them and passes over everything else', async () => {
    const inner = module(['0', module(['weight', tensor('0', [2])], ['training', '\x88'])]);
    const root = module(
      ['layers', inner],
      ['scale', tensor('1', [1])],
      ['sizes', call('torch.jit._pickle', 'build_intlist', pickle(']', int(1), 'a'))],
      ['hook', 'N'],
    );
    assert.deepEqual(await names(root, { 0: floats(1, 2), 1: floats(3) }), ['layers.0.weight', 'scale']);
  });

  it('keeps the strides of tensors that are not contiguous', async () => {
    const root = module(['weight', tensor('0', [2, 2], { strides: [1, 2] })]);
    const { tensors } = await readTorchScript(write(root, { 0: floats(1, 2, 3, 4) }));
    assert.deepEqual(tensors.get('weight')?.strides, [1, 2]);
  });

  it('does not run code that torch.jit.load would run', async () => {
    const archive = await readTorchScript(fixture('runs-on-load.pt'));
    assert.deepEqual([...archive.tensors.keys()], ['unet.weight']);
    assert.match(archive.extra ?? '', /"family": "tiny"/);
  });

  it('keeps calls of Python functions in the pickle inert', async () => {
    const root = module(
      ['attack', call('os', 'system', text('true'))],
      ['eval', call('builtins', 'eval', text('globalThis.pwned = 1'))],
      ['__proto__', module(['polluted', tensor('0', [1])])],
    );
    assert.deepEqual(await names(root, { 0: floats(1) }), ['__proto__.polluted']);
    assert.equal((globalThis as Record<string, unknown>).pwned, undefined);
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });

  it('refuses attributes whose names are ambiguous, empty or endless', async () => {
    const value = tensor('0', [1]);
    const bad: readonly Piece[] = [
      module(['a.b', value]),
      module(['', value]),
      module(['x'.repeat(1001), value]),
      module(['x'.repeat(600), module(['y'.repeat(600), value])]),
      pickle(global('__torch__', 'M'), ')\x81}(', int(1), value, 'ub'),
    ];
    for (const root of bad)
      await rejects(readTorchScript(write(root, { 0: floats(1) })), 'ERR_PICKLE', /name/);
  });

  it('ends on cycles, and visits modules that are shared once', async () => {
    const cycle = pickle(
      global('__torch__', 'M'),
      ')\x81q\x01}(',
      text('self'),
      'h\x01',
      text('w'),
      tensor('0', [1]),
      'ub',
    );
    assert.deepEqual(await names(cycle, { 0: floats(1) }), ['w']);
    // Each level holds the one below it twice: visited by every path, these would be 2^40 modules.
    const level = (below: Piece, key: number): Buffer =>
      pickle(module(['a', below], ['b', `h${String.fromCharCode(key - 1)}`]), `q${String.fromCharCode(key)}`);
    let doubled = pickle(module(['w', tensor('0', [1])]), 'q\x00');
    for (let key = 1; key <= 40; key++) doubled = level(doubled, key);
    assert.deepEqual(await names(doubled, { 0: floats(1) }), [`${'a.'.repeat(40)}w`]);
  });

  it('refuses modules that are too deep and tensors that are too many', async () => {
    const bare = pickle(global('__torch__', 'M'), ')\x81}');
    const deep = pickle(
      ...Array.from({ length: 5000 }, () => pickle(bare, text('m'))),
      'N',
      'sb'.repeat(5000),
    );
    await rejects(readTorchScript(write(deep)), 'ERR_PICKLE', /deep/);
    const one = pickle(tensor('0', [1]), 'q\x09', '0');
    const many = Array.from({ length: 100_001 }, (_, index) => pickle(text(`t${index}`), 'h\x09'));
    const root = pickle(one, global('__torch__', 'M'), ')\x81}(', ...many, 'ub');
    await rejects(readTorchScript(write(root, { 0: floats(1) })), 'ERR_PICKLE', /100000 tensors/);
  });

  it('refuses tensors outside of their storages, and storages that are not there', async () => {
    const outside = module(['w', tensor('0', [8], { length: 2 })]);
    await rejects(readTorchScript(write(outside, { 0: floats(1, 2) })), 'ERR_FILE_CORRUPT', /needs 32 bytes/);
    const short = module(['w', tensor('0', [8])]);
    await rejects(readTorchScript(write(short, { 0: floats(1, 2) })), 'ERR_FILE_CORRUPT', /instead of 32/);
    await rejects(readTorchScript(write(short)), 'ERR_FILE_CORRUPT', /no zip entry/);
  });

  it('refuses graphs without weights', async () => {
    const storage = pickle(
      tuple(text('storage'), global('torch', 'FloatStorage'), text('0'), text('meta'), int(1)),
      'Q',
    );
    const root = module(['w', call('torch._utils', '_rebuild_tensor_v2', storage, int(0), ')', ')')]);
    await rejects(readTorchScript(write(root)), 'ERR_FILE_FORMAT', /without its weights/);
  });

  it('refuses a description that is too long or packed, and files of other formats', async () => {
    const extra = (data: Buffer, method = 0) =>
      writeModuleArchive(file, module(), {
        entries: [{ name: 'archive/extra/animatediff.json', data, method }],
      });
    await rejects(readTorchScript(extra(Buffer.alloc((1 << 20) + 1))), 'ERR_FILE_CORRUPT', /description/);
    await rejects(readTorchScript(extra(Buffer.from('{}'), 8)), 'ERR_FILE_FORMAT', /compressed/);
    await rejects(readTorchScript(fixture('module.zip.pt')), 'ERR_FILE_FORMAT', /not a TorchScript archive/);
    await rejects(readTorchScript(path.join(folder, 'none.pt')), 'ERR_FILE_NOT_FOUND');
  });

  it('answers every cut and every changed byte with a list of tensors or an error with a code', async () => {
    const sound = readFileSync(fixture('runs-on-load.pt'));
    for (let length = 0; length < sound.length; length += 11) {
      writeFileSync(file, sound.subarray(0, length));
      await rejects(readTorchScript(file), 'ERR_FILE_CORRUPT', /./, `cut at ${length}:`);
    }
    let refused = 0;
    for (let at = 0; at < sound.length; at += 7) {
      const changed = Buffer.from(sound);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      writeFileSync(file, changed);
      await readTorchScript(file).catch((error: unknown) => {
        assert.ok(error instanceof AnimateDiffError, `byte ${at}: ${error}`);
        refused += 1;
      });
    }
    assert.ok(refused > 60, `only ${refused} changes were refused`);
  });
});

describe('inspectPath of a TorchScript archive', () => {
  it('tells its tensors, and that it is of no use when bake did not write it', async () => {
    const report = await inspectPath(fixture('scripted.pt'));
    assert.deepEqual([report.kind, report.tensors, report.bytes], ['torchscript', 1, 16]);
    assert.deepEqual(report.usableAs, []);
    assert.match(report.reason ?? '', /not one that `bake` wrote/);
  });
});
