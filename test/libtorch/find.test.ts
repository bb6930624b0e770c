import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readEnvironment } from '../../lib/environment.ts';
import { AnimateDiffError, type ErrorCode } from '../../lib/errors.ts';
import { type FindOptions, findLibTorch } from '../../lib/libtorch/find.ts';
import type { NvidiaDriver } from '../../lib/libtorch/nvidia.ts';
import { callsOf, fakePython } from './support/fake-python.ts';
import { makeCached, makeTree, temporaryFolder, writeFiles } from './support/folders.ts';

const NO_DRIVER = { present: false, version: undefined };
const DRIVER = { present: true, version: '580.95.05' };

/** A machine with an empty cache, a Python without torch and nothing set. */
function machine(variables: NodeJS.ProcessEnv = {}, driver: NvidiaDriver = NO_DRIVER) {
  const folder = temporaryFolder();
  const cache = path.join(folder, 'cache');
  const python = variables.ANIMATEDIFF_PYTHON ?? fakePython(folder);
  const environment = readEnvironment({ ANIMATEDIFF_CACHE: cache, ANIMATEDIFF_PYTHON: python, ...variables });
  const find = (options: Partial<FindOptions> = {}) =>
    findLibTorch({ purpose: 'run', ...options }, { environment, driver });
  return { folder, cache, python, find };
}

function failsWith(code: ErrorCode, ...messages: readonly RegExp[]) {
  return (error: unknown) => {
    assert.ok(error instanceof AnimateDiffError, String(error));
    assert.equal(error.code, code);
    for (const message of messages) assert.match(error.message, message);
    return true;
  };
}

describe('finding LibTorch', () => {
  it('takes the option before anything else', () => {
    const { folder, cache, find } = machine({
      ANIMATEDIFF_LIBTORCH: makeTree(path.join(temporaryFolder(), 'variable')),
    });
    makeCached(cache, '2.13.0+cpu');
    const root = makeTree(path.join(folder, 'option'), { version: '2.13.1+cpu' });
    assert.deepEqual(find({ libtorch: root }), {
      root,
      libFolder: path.join(root, 'lib'),
      libraries: [path.join(root, 'lib', 'libc10.so'), path.join(root, 'lib', 'libtorch_cpu.so')],
      version: '2.13.1+cpu',
      cuda: false,
      source: 'option',
    });
  });

  it('takes ANIMATEDIFF_LIBTORCH before LIBTORCH, and either before the cache', () => {
    const folder = temporaryFolder();
    const own = makeTree(path.join(folder, 'own'));
    const general = makeTree(path.join(folder, 'general'));
    const both = machine({ ANIMATEDIFF_LIBTORCH: own, LIBTORCH: general });
    makeCached(both.cache, '2.13.0+cpu');
    assert.equal(both.find().source, 'ANIMATEDIFF_LIBTORCH');
    assert.equal(both.find().root, own);
    const one = machine({ LIBTORCH: general });
    makeCached(one.cache, '2.13.0+cpu');
    assert.equal(one.find().source, 'LIBTORCH');
  });

  it('takes the cache before Python, which it does not even ask', () => {
    const folder = temporaryFolder();
    const python = fakePython(folder, { torch: makeTree(path.join(folder, 'torch'), { layout: 'wheel' }) });
    const { cache, find } = machine({ ANIMATEDIFF_PYTHON: python });
    const root = makeCached(cache, '2.13.0+cpu');
    const found = find();
    assert.equal(found.source, 'cache');
    assert.equal(found.root, root);
    assert.deepEqual(callsOf(python), []);
  });

  it('takes the torch of Python when there is nothing else', () => {
    const folder = temporaryFolder();
    const torch = makeTree(path.join(folder, 'site-packages', 'torch'), {
      layout: 'wheel',
      version: '2.13.0+cu130',
      cuda: true,
    });
    const { find } = machine({ ANIMATEDIFF_PYTHON: fakePython(folder, { torch }) });
    const found = find();
    assert.equal(found.source, 'python');
    assert.equal(found.version, '2.13.0+cu130');
    assert.equal(found.cuda, true);
  });

  for (const inner of ['', 'torch', 'libtorch']) {
    it(`accepts a folder that holds LibTorch ${inner ? `in ${inner}/` : 'itself'}`, () => {
      const { folder, find } = machine();
      const root = makeTree(path.join(folder, 'given', inner), {
        layout: inner === 'torch' ? 'wheel' : 'archive',
      });
      assert.equal(find({ libtorch: path.join(folder, 'given') }).root, root);
    });
  }

  it('names every place and the command when there is none', () => {
    const { cache, python, find } = machine();
    assert.throws(
      find,
      failsWith(
        'ERR_LIBTORCH_NOT_FOUND',
        /option `libtorch`: not given/,
        /ANIMATEDIFF_LIBTORCH and LIBTORCH: not set/,
        new RegExp(`cache ${cache}/libtorch: empty`),
        new RegExp(`${python} has no torch`),
        /`npx animatediff-native install`/,
      ),
    );
  });

  it('says so when there is no Python at all', () => {
    const { find } = machine({ ANIMATEDIFF_PYTHON: '/nowhere/python3' });
    assert.throws(find, failsWith('ERR_LIBTORCH_NOT_FOUND', /Python: \/nowhere\/python3 was not found/));
  });

  const wrongFolders: readonly [string, (folder: string) => void, ErrorCode, RegExp][] = [
    ['does not exist', () => {}, 'ERR_LIBTORCH_NOT_FOUND', /given does not exist/],
    [
      'holds something else',
      (folder) => writeFiles(folder, { 'readme.txt': '' }),
      'ERR_LIBTORCH_NOT_FOUND',
      /holds no lib\/libc10\.so/,
    ],
    [
      'has another version',
      (folder) => makeTree(folder, { version: '2.4.1+cpu' }),
      'ERR_LIBTORCH_VERSION',
      /2\.4\.1\+cpu, and the engine was compiled for 2\.13/,
    ],
    [
      'hides its version',
      (folder) => {
        makeTree(folder);
        writeFileSync(path.join(folder, 'build-version'), '');
      },
      'ERR_LIBTORCH_NOT_FOUND',
      /does not tell its version/,
    ],
    [
      'has an empty library',
      (folder) => {
        makeTree(folder);
        writeFileSync(path.join(folder, 'lib', 'libtorch_cpu.so'), '');
      },
      'ERR_LIBTORCH_NOT_FOUND',
      /holds no lib/,
    ],
  ];
  for (const [name, prepare, code, message] of wrongFolders) {
    it(`never passes over an explicit folder that ${name}`, () => {
      const folder = path.join(temporaryFolder(), 'given');
      prepare(folder);
      const { cache, find } = machine({ ANIMATEDIFF_LIBTORCH: folder });
      makeCached(cache, '2.13.0+cpu');
      assert.throws(
        find,
        failsWith(code, /^ANIMATEDIFF_LIBTORCH: /, message, /npx animatediff-native install/),
      );
    });
  }

  it('runs only with the minor version that the engine was compiled for', () => {
    const { cache, find } = machine();
    makeCached(cache, '2.11.0+cpu');
    assert.equal(find({ compiledFor: '2.11.0' }).version, '2.11.0+cpu');
    assert.throws(
      () => find({ compiledFor: '2.13.0' }),
      failsWith('ERR_LIBTORCH_VERSION', /No LibTorch 2\.13 was found, only other versions/, /2\.11\.0\+cpu/),
    );
  });

  it('builds with 2.13 and with 2.11, if their headers are there', () => {
    for (const version of ['2.13.0+cpu', '2.11.0+cpu']) {
      const { cache, find } = machine();
      makeCached(cache, version);
      assert.equal(find({ purpose: 'build' }).version, version);
    }
    const { cache, find } = machine();
    makeCached(cache, '2.13.0+cpu', { headers: false });
    assert.equal(find().version, '2.13.0+cpu');
    assert.throws(() => find({ purpose: 'build' }), failsWith('ERR_LIBTORCH_NOT_FOUND', /has no headers/));
    makeCached(cache, '2.4.0+cpu');
    assert.throws(
      () => find({ purpose: 'build' }),
      failsWith('ERR_LIBTORCH_VERSION', /compile against 2\.13 or 2\.11/),
    );
  });

  it('passes over a cached LibTorch with a damaged library, and says so when there is no other', () => {
    const { cache, find } = machine();
    const damaged = makeCached(cache, '2.13.0+cpu');
    writeFileSync(path.join(damaged, 'lib', 'libc10.so'), 'cut');
    assert.throws(find, failsWith('ERR_LIBTORCH_NOT_FOUND', /lib\/libc10\.so is damaged/));
    const whole = makeCached(cache, '2.13.1+cpu');
    assert.equal(find().root, whole);
  });

  it('does not see an installation that is not finished', () => {
    const { cache, find } = machine();
    makeTree(path.join(cache, 'libtorch', '.unfinished-1'));
    makeTree(path.join(cache, 'libtorch', '2.13.0+cpu'));
    assert.throws(find, failsWith('ERR_LIBTORCH_NOT_FOUND', /has no readable manifest\.json/));
  });
});

describe('finding LibTorch for a device', () => {
  const both = (driver: NvidiaDriver) => {
    const found = machine({}, driver);
    makeCached(found.cache, '2.13.0+cpu');
    makeCached(found.cache, '2.13.0+cu130', { cuda: true });
    return found;
  };
  const names = (libraries: readonly string[]) => libraries.map((library) => path.basename(library));

  it('opens the CUDA half of a CUDA build where there is a driver', () => {
    const found = both(DRIVER).find({ device: 'auto' });
    assert.equal(found.version, '2.13.0+cu130');
    assert.deepEqual(names(found.libraries), [
      'libc10.so',
      'libtorch_cpu.so',
      'libc10_cuda.so',
      'libtorch_cuda.so',
    ]);
  });

  it('prefers the CPU build without a driver and for the CPU', () => {
    assert.equal(both(NO_DRIVER).find({ device: 'auto' }).version, '2.13.0+cpu');
    assert.equal(both(DRIVER).find({ device: 'cpu' }).version, '2.13.0+cpu');
  });

  it('leaves the CUDA half closed when the CPU is asked for and there is only a CUDA build', () => {
    const { cache, find } = machine({}, DRIVER);
    makeCached(cache, '2.13.0+cu130', { cuda: true });
    assert.deepEqual(names(find({ device: 'cpu' }).libraries), ['libc10.so', 'libtorch_cpu.so']);
  });

  it('looks further than a CPU build in the cache when there is a driver', () => {
    const folder = temporaryFolder();
    const torch = makeTree(path.join(folder, 'torch'), {
      layout: 'wheel',
      version: '2.13.0+cu130',
      cuda: true,
    });
    const { cache, find } = machine({ ANIMATEDIFF_PYTHON: fakePython(folder, { torch }) }, DRIVER);
    makeCached(cache, '2.13.0+cpu');
    assert.equal(find({ device: 'auto' }).source, 'python');
    assert.equal(find({ device: 'cpu' }).source, 'cache');
  });

  it('falls back to a CPU build for auto, and never for cuda', () => {
    const { cache, find } = machine({}, DRIVER);
    makeCached(cache, '2.13.0+cpu');
    assert.equal(find({ device: 'auto' }).version, '2.13.0+cpu');
    for (const device of ['cuda', 'cuda:1'] as const) {
      assert.throws(
        () => find({ device }),
        failsWith('ERR_DEVICE_UNAVAILABLE', /is the CPU build/, /install --device cuda/),
      );
    }
  });
});
