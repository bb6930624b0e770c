import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readEnvironment } from '../../lib/environment.ts';
import { findLibTorch } from '../../lib/libtorch/find.ts';
import {
  type InstallOptions,
  type InstallProgress,
  install,
  planInstall,
} from '../../lib/libtorch/install.ts';
import { callsOf, type FakePythonOptions, fakePython, type ReportedWheel } from './support/fake-python.ts';
import { temporaryFolder } from './support/folders.ts';
import { serve, startServer } from './support/server.ts';
import { writeZip } from './support/zip.ts';

const CUDA_REQUIREMENTS = [
  'filelock',
  'cuda-toolkit[cublas,cudart]==13.0.3; platform_system == "Linux"',
  'nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"',
];

/** Files of the torch wheel as far as they matter; `cuda` adds the other half. */
function torchFiles(version: string, cuda = false): Readonly<Record<string, string>> {
  const names = ['libc10.so', 'libtorch_cpu.so', ...(cuda ? ['libc10_cuda.so', 'libtorch_cuda.so'] : [])];
  return {
    'torch/version.py': `__version__ = '${version}'\n`,
    'torch/include/torch/script.h': '#pragma once\n',
    'torch/__init__.py': 'import everything\n',
    ...Object.fromEntries(names.map((name) => [`torch/lib/${name}`, `${name} of ${version}`])),
  };
}

const NVIDIA_FILES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'nvidia-cuda-runtime': { 'nvidia/cu13/lib/libcudart.so.13': 'cudart' },
  'nvidia-cuda-cupti': { 'nvidia/cu13/lib/libcupti.so.13': 'cupti' },
  'nvidia-cudnn-cu13': { 'nvidia/cudnn/lib/libcudnn.so.9': 'cudnn' },
};

/** Packages that torch needs in Python and nowhere else. */
const UNUSED_FILES = {
  triton: { 'triton/lib/libtriton.so': 'triton' },
  filelock: { 'filelock/__init__.py': '' },
};

/** A machine without network but for a Python index with torch: the CPU build, or the CUDA build. */
function machine(build: 'cpu' | 'cuda', variables: NodeJS.ProcessEnv = {}, python: FakePythonOptions = {}) {
  const folder = temporaryFolder();
  const wheel = (name: string, version: string, files: Readonly<Record<string, string>>): ReportedWheel => {
    const file = path.join(folder, `${name}-${version}-py3-none-linux_x86_64.whl`);
    const { sha256 } = writeZip(file, files);
    const requires = name === 'torch' && build === 'cuda' ? CUDA_REQUIREMENTS : ['filelock'];
    return { name, version, url: pathToFileURL(file).href, sha256, requires };
  };
  const torch =
    build === 'cpu'
      ? wheel('torch', '2.13.0+cpu', torchFiles('2.13.0+cpu'))
      : wheel('torch', '2.13.0', torchFiles('2.13.0+cu130', true));
  const others = Object.entries({ ...NVIDIA_FILES, ...UNUSED_FILES });
  const all = [torch, ...others.map(([name, files]) => wheel(name, '13.0.96', files))];
  const reports = { 'torch==2.13.0': [torch], 'torch===2.13.0': build === 'cuda' ? all : [torch] };
  const cache = path.join(folder, 'cache');
  const interpreter = fakePython(folder, { reports, ...python });
  const environment = readEnvironment({
    ANIMATEDIFF_CACHE: cache,
    ANIMATEDIFF_PYTHON: interpreter,
    // A closed port: the official archive cannot be reached.
    HTTPS_PROXY: 'http://127.0.0.1:9',
    ...variables,
  });
  const run = (options: InstallOptions = {}) => install({ environment, ...options });
  return { folder, cache, interpreter, torch, environment, run };
}

function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

const NO_DRIVER = { present: false, version: undefined };

describe('install for the CPU', () => {
  it('falls back to the Python wheel, says why, and leaves a LibTorch that is found', async () => {
    const { cache, environment, torch, run } = machine('cpu');
    const events: InstallProgress[] = [];
    const result = await run({ onProgress: (event) => events.push(event) });
    assert.equal(result.outcome, 'installed');
    assert.equal(result.folder, path.join(cache, 'libtorch', '2.13.0+cpu'));
    assert.match(
      result.plan?.notes.join() ?? '',
      /download\.pytorch\.org cannot be used \(.+\); taking the Python wheel/,
    );
    assert.deepEqual(filesIn(result.folder), [
      'manifest.json',
      'torch/include/torch/script.h',
      'torch/lib/libc10.so',
      'torch/lib/libtorch_cpu.so',
      'torch/version.py',
    ]);
    const manifest = JSON.parse(readFileSync(path.join(result.folder, 'manifest.json'), 'utf8'));
    assert.equal(manifest.version, '2.13.0+cpu');
    assert.equal(manifest.artefacts[0].sha256, torch.sha256);
    assert.equal(manifest.libraries.length, 2);
    assert.deepEqual(
      [...new Set(events.map(({ phase }) => phase))],
      ['resolve', 'download', 'verify', 'unpack'],
    );
    const found = findLibTorch({ purpose: 'build' }, { environment, driver: NO_DRIVER });
    assert.equal(found.root, path.join(result.folder, 'torch'));
    assert.equal(found.source, 'cache');
  });

  it('does nothing the second time', async () => {
    const { interpreter, run } = machine('cpu');
    const first = await run();
    const calls = callsOf(interpreter).length;
    assert.deepEqual(await run(), {
      folder: first.folder,
      version: '2.13.0+cpu',
      device: 'cpu',
      outcome: 'present',
    });
    assert.equal(callsOf(interpreter).length, calls);
  });

  it('only looks in a dry run', async () => {
    const { cache, torch, run } = machine('cpu');
    const { outcome, plan } = await run({ dryRun: true });
    assert.equal(outcome, 'planned');
    assert.deepEqual(
      plan?.artefacts.map(({ url, sha256, layout }) => ({ url, sha256, layout })),
      [{ url: torch.url, sha256: torch.sha256, layout: 'torch-wheel' }],
    );
    assert.equal(plan?.bytes, plan?.artefacts[0]?.bytes);
    assert.equal(plan?.installed, false);
    assert.deepEqual(readdirSync(cache), ['tools']);
  });

  it('takes the CPU half where the index has only a CUDA build', async () => {
    const { environment, run } = machine('cuda');
    const { folder, version, plan } = await run();
    assert.equal(version, '2.13.0+cu130');
    assert.match(path.basename(folder), /^2\.13\.0\+cu130-cpu$/);
    assert.match(plan?.notes.join() ?? '', /only a CUDA build/);
    assert.deepEqual(
      filesIn(folder).filter((name) => name.includes('.so')),
      [
        'nvidia/cu13/lib/libcudart.so.13',
        'nvidia/cu13/lib/libcupti.so.13',
        'torch/lib/libc10.so',
        'torch/lib/libtorch_cpu.so',
      ],
    );
    assert.equal(findLibTorch({ purpose: 'run' }, { environment, driver: NO_DRIVER }).cuda, false);
  });

  it('repairs an installation that lost a library', async () => {
    const { run } = machine('cpu');
    const { folder } = await run();
    writeFileSync(path.join(folder, 'torch', 'lib', 'libtorch_cpu.so'), '');
    assert.equal((await run()).outcome, 'installed');
    assert.equal(
      readFileSync(path.join(folder, 'torch', 'lib', 'libtorch_cpu.so'), 'utf8'),
      'libtorch_cpu.so of 2.13.0+cpu',
    );
    assert.deepEqual(readdirSync(path.dirname(folder)), ['2.13.0+cpu']);
  });

  it('removes what a killed installation left', async () => {
    const { cache, run } = machine('cpu');
    const leftover = path.join(cache, 'libtorch', '.unfinished-killed');
    mkdirSync(leftover, { recursive: true });
    await run();
    assert.deepEqual(readdirSync(path.dirname(leftover)), ['2.13.0+cpu']);
  });

  it('leaves nothing half-written when it is stopped while it unpacks', async () => {
    const { cache, environment, run } = machine('cpu');
    const stop = new AbortController();
    const onProgress = ({ phase }: InstallProgress) => phase === 'unpack' && stop.abort(new Error('stopped'));
    await assert.rejects(run({ signal: stop.signal, onProgress }), /stopped/);
    assert.deepEqual(readdirSync(path.join(cache, 'libtorch')), []);
    assert.throws(() => findLibTorch({ purpose: 'run' }, { environment, driver: NO_DRIVER }), {
      code: 'ERR_LIBTORCH_NOT_FOUND',
    });
    assert.equal((await run()).outcome, 'installed');
  });

  it('installs once when two do it at the same time', async () => {
    const { run } = machine('cpu');
    const results = await Promise.all([run(), run()]);
    assert.deepEqual(results.map(({ outcome }) => outcome).sort(), ['installed', 'present']);
    assert.equal(results[0]?.folder, results[1]?.folder);
  });

  it('refuses a wheel with another hash', async () => {
    const { cache, torch, run } = machine('cpu');
    writeFileSync(new URL(torch.url), 'tampered');
    await assert.rejects(run(), { code: 'ERR_CHECKSUM' });
    assert.deepEqual(readdirSync(path.join(cache, 'libtorch')), []);
  });

  it('refuses an index without hashes', async () => {
    const url = pathToFileURL('/somewhere/torch.whl').href;
    const reports = { 'torch==2.13.0': [{ name: 'torch', version: '2.13.0+cpu', url }] };
    const { run } = machine('cpu', {}, { reports });
    await assert.rejects(run(), { code: 'ERR_CHECKSUM', message: /gives no hash for torch\.whl/ });
  });

  it('refuses a wheel that holds something else', async () => {
    const { cache, folder, run } = machine('cpu');
    const file = path.join(folder, 'torch-2.13.0+cpu-py3-none-linux_x86_64.whl');
    const { sha256 } = writeZip(file, { 'torch/__init__.py': '' });
    const reports = {
      'torch==2.13.0': [{ name: 'torch', version: '2.13.0+cpu', url: pathToFileURL(file).href, sha256 }],
    };
    fakePython(folder, { reports });
    await assert.rejects(run(), { code: 'ERR_DOWNLOAD', message: /is not the expected LibTorch/ });
    assert.deepEqual(readdirSync(path.join(cache, 'libtorch')), []);
  });

  it('says what is missing when there is no Python, and when it has no pip', async () => {
    const without = machine('cpu', { ANIMATEDIFF_PYTHON: '/nowhere/python3' });
    await assert.rejects(without.run(), {
      code: 'ERR_DOWNLOAD',
      message: /could not be started.*apt-get install python3/s,
    });
    const bare = machine('cpu', {}, { withoutPip: true });
    await assert.rejects(bare.run(), { code: 'ERR_DOWNLOAD', message: /has no pip.*python3-pip/s });
  });

  it('asks for other Pythons when the index has no wheel for this one', async () => {
    const { interpreter, run } = machine('cpu', {}, { reports: {} });
    await assert.rejects(run(), {
      code: 'ERR_DOWNLOAD',
      message: /No matching distribution found for torch==2\.13\.0/,
    });
    const versions = callsOf(interpreter)
      .filter((call) => call.includes('--report'))
      .map((call) =>
        call.includes('--python-version') ? call[call.indexOf('--python-version') + 1] : 'own',
      );
    assert.deepEqual(versions, ['own', '3.12', '3.11']);
  });
});

describe('install from the official archive', () => {
  it('is planned with the known size and hash when the archive can be reached', async () => {
    const server = await startServer((request, response) => serve(Buffer.alloc(0), request, response));
    const { environment, interpreter } = machine('cpu', {
      ANIMATEDIFF_LIBTORCH_MIRROR: `${server.address}/torch/`,
      HTTPS_PROXY: '',
    });
    const plan = await planInstall({ environment });
    assert.equal(server.requests[0]?.method, 'HEAD');
    assert.deepEqual(plan.artefacts, [
      {
        name: 'libtorch-shared-with-deps-2.13.0+cpu.zip',
        layout: 'archive',
        url: `${server.address}/torch/libtorch/cpu/libtorch-shared-with-deps-2.13.0%2Bcpu.zip`,
        bytes: 126_385_248,
        sha256: 'edbf4cbed78433d803e90a65f1752e57783d164bce66c95c0872b2ab8f5c159e',
      },
    ]);
    assert.equal(plan.version, '2.13.0+cpu');
    assert.deepEqual(callsOf(interpreter), []);
  });

  it('is not taken from a mirror that has something else', async () => {
    const server = await startServer((request, response) => serve(Buffer.from('<html>'), request, response));
    const { cache, run } = machine('cpu', { ANIMATEDIFF_LIBTORCH_MIRROR: server.address, HTTPS_PROXY: '' });
    await assert.rejects(run(), { code: 'ERR_DOWNLOAD', message: /offers 6 bytes, expected 126385248/ });
    assert.deepEqual(readdirSync(path.join(cache, 'libtorch')), []);
  });

  it('never passes over a mirror that cannot be used', async () => {
    const mirror = pathToFileURL(temporaryFolder()).href;
    const { interpreter, run } = machine('cpu', { ANIMATEDIFF_LIBTORCH_MIRROR: mirror });
    await assert.rejects(run(), {
      code: 'ERR_DOWNLOAD',
      message: /ANIMATEDIFF_LIBTORCH_MIRROR is .*Correct the variable/s,
    });
    assert.deepEqual(callsOf(interpreter), []);
  });
});

describe('install for CUDA', () => {
  it('lays torch and the libraries of NVIDIA out as LibTorch expects them', async () => {
    const { environment, run } = machine('cuda');
    const { folder, version, plan } = await run({ device: 'cuda' });
    assert.equal(version, '2.13.0+cu130');
    assert.deepEqual(
      plan?.artefacts.map(({ wheel }) => wheel?.name),
      ['torch', 'nvidia-cuda-runtime', 'nvidia-cuda-cupti', 'nvidia-cudnn-cu13'],
    );
    assert.deepEqual(
      filesIn(folder).filter((name) => name.includes('.so')),
      [
        'nvidia/cu13/lib/libcudart.so.13',
        'nvidia/cu13/lib/libcupti.so.13',
        'nvidia/cudnn/lib/libcudnn.so.9',
        'torch/lib/libc10.so',
        'torch/lib/libc10_cuda.so',
        'torch/lib/libtorch_cpu.so',
        'torch/lib/libtorch_cuda.so',
      ],
    );
    const driver = { present: true, version: '580.95.05' };
    assert.equal(findLibTorch({ purpose: 'run', device: 'cuda' }, { environment, driver }).cuda, true);
  });

  it('stands beside an installation for the CPU', async () => {
    const { cache, run } = machine('cuda');
    await run();
    assert.equal((await run({ device: 'cuda' })).outcome, 'installed');
    assert.deepEqual(readdirSync(path.join(cache, 'libtorch')), ['2.13.0+cu130', '2.13.0+cu130-cpu']);
  });

  it('says so when the index has only a CPU build', async () => {
    const { run } = machine('cpu');
    await assert.rejects(run({ device: 'cuda' }), { code: 'ERR_DOWNLOAD', message: /only a CPU build/ });
  });

  it("lets pip fetch a wheel that only pip's credentials open", async () => {
    const server = await startServer((_request, response) => response.writeHead(401).end());
    const folder = temporaryFolder();
    const file = path.join(folder, 'torch-2.13.0+cpu-py3-none-linux_x86_64.whl');
    const { sha256 } = writeZip(file, torchFiles('2.13.0+cpu'));
    const url = `${server.address}/simple/torch-2.13.0%2Bcpu-py3-none-linux_x86_64.whl`;
    const reports = { 'torch==2.13.0': [{ name: 'torch', version: '2.13.0+cpu', url, sha256 }] };
    const { interpreter, run } = machine('cpu', {}, { reports, download: file });
    assert.equal((await run()).outcome, 'installed');
    assert.ok(callsOf(interpreter).some((call) => call.includes('torch===2.13.0+cpu')));
  });
});
