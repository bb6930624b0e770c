import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readEnvironment } from '../../lib/environment.ts';
import { type DoctorReport, diagnose, formatReport } from '../../lib/libtorch/doctor.ts';
import { describeCpu, describeMemory } from '../../lib/libtorch/machine.ts';
import { fakePython } from './support/fake-python.ts';
import { makeCached, temporaryFolder, writeFiles } from './support/folders.ts';

/** Source of a module with a native part that works, or of one that goes wrong in a way. */
function nativeModule(changes: Readonly<Record<string, string>> = {}): string {
  const functions = {
    addonPath: `return '/package/animatediff-native.node';`,
    enginePath: `return '/package/libanimatediff.so';`,
    compiledLibTorchVersion: `return '2.13.0';`,
    openEngine: `return { root: '/libtorch' };`,
    devices: `return [
      { kind: 'cpu', index: 0, name: 'CPU', totalBytes: 32e9, freeBytes: 16e9 },
      { kind: 'cuda', index: 0, name: 'NVIDIA H200', totalBytes: 150e9, freeBytes: 149e9 },
    ];`,
    cudaKernelsProblem: `return '';`,
    cpuCapability: `return 'AVX512';`,
    ...changes,
  };
  return Object.entries(functions)
    .map(([name, body]) => `export function ${name}() { ${body} }\n`)
    .join('');
}

/** Examines a machine with this native module; the cache holds a LibTorch of `version`, if given. */
async function examine(source: string, version: string | null = '2.13.0+cpu'): Promise<DoctorReport> {
  const folder = temporaryFolder();
  const cache = path.join(folder, 'cache');
  if (version !== null) makeCached(cache, version);
  writeFiles(folder, { 'native.mjs': source });
  return await diagnose({
    environment: readEnvironment({ ANIMATEDIFF_CACHE: cache, ANIMATEDIFF_PYTHON: fakePython(folder) }),
    nativeModule: pathToFileURL(path.join(folder, 'native.mjs')).href,
    driver: { present: false, version: undefined },
  });
}

describe('the doctor', () => {
  it('is content with a machine where everything loads', async () => {
    const report = await examine(nativeModule());
    assert.equal(report.ok, true);
    assert.deepEqual(report.problems, []);
    assert.deepEqual(report.addon, {
      path: '/package/animatediff-native.node',
      loads: true,
      compiledFor: '2.13.0',
    });
    assert.deepEqual(report.engine, { path: '/package/libanimatediff.so', opens: true });
    assert.equal(report.libtorch?.source, 'cache');
    assert.equal(report.cpu.capability, 'AVX512');
    assert.equal(report.devices.length, 2);
    assert.deepEqual(report.cuda, {
      usable: true,
      reason: undefined,
      driver: undefined,
      withoutKernels: undefined,
    });
    assert.deepEqual(JSON.parse(JSON.stringify(report)).devices, report.devices);
  });

  it('survives native files that end the process, and names the signal', async () => {
    const report = await examine(
      nativeModule({ openEngine: `process.kill(process.pid, 'SIGSEGV'); for (;;);` }),
    );
    assert.equal(report.ok, false);
    assert.equal(report.addon.loads, true);
    assert.equal(report.engine.opens, false);
    assert.match(report.problems.join(), /was ended by SIGSEGV/);
  });

  it('reports what the addon says when it does not load', async () => {
    const report = await examine(
      nativeModule({ compiledLibTorchVersion: `throw new Error("version 'GLIBC_2.38' not found");` }),
    );
    assert.deepEqual(report.addon, {
      path: '/package/animatediff-native.node',
      loads: false,
      compiledFor: undefined,
    });
    assert.deepEqual(report.problems, ["version 'GLIBC_2.38' not found"]);
  });

  it('says once that there is no LibTorch, with the command', async () => {
    const report = await examine(
      nativeModule({ openEngine: `throw new Error('No LibTorch was found.');` }),
      '',
    );
    assert.equal(report.libtorch, undefined);
    assert.equal(report.problems.length, 1);
    assert.match(report.problems[0] ?? '', /No LibTorch was found.*npx animatediff-native install/s);
  });

  it('reports a module that cannot even be read', async () => {
    const report = await examine('this is not JavaScript');
    assert.equal(report.ok, false);
    assert.equal(report.addon.loads, false);
    assert.match(report.problems.join(), /SyntaxError|Unexpected|ended with status/);
  });

  it('shows everything on one screen', async () => {
    const text = formatReport(await examine(nativeModule()));
    const lines = text.split('\n');
    assert.ok(lines.length <= 24, `${lines.length} lines`);
    for (const part of [
      /glibc 2\./,
      /AVX512/,
      /2\.13\.0\+cpu, from the cache/,
      /cuda:0 {2}NVIDIA H200, 150\.0 GB, 149\.0 GB free/,
    ]) {
      assert.match(text, part);
    }
    assert.match(text, /cuda +usable/);
    assert.match(text, /Clips can be made on this machine\.$/);
  });

  it("tells why the package's own CUDA kernels do not run, which is no problem", async () => {
    const report = await examine(
      nativeModule({ cudaKernelsProblem: `return 'no file for cuda:' + arguments[0];` }),
    );
    assert.equal(report.ok, true);
    assert.equal(report.cuda.withoutKernels, 'no file for cuda:0');
    assert.match(formatReport(report), /LibTorch's kernels only: no file for cuda:0/);
  });

  it('ends its screen with the problems', async () => {
    const text = formatReport(
      await examine(nativeModule({ enginePath: `throw new Error('The engine is missing.');` })),
    );
    assert.match(text, /engine +missing/);
    assert.match(text, /Problem: The engine is missing\.$/);
  });
});

describe('the machine', () => {
  const processor = (number: number, core: number) =>
    [
      `processor\t: ${number}`,
      'model name\t: Example CPU @ 2.40GHz',
      'physical id\t: 0',
      `core id\t\t: ${core}`,
      'flags\t\t: fpu avx2 avx512f amx_bf16',
    ].join('\n');

  it('counts physical cores and knows the instruction sets', () => {
    const cpu = describeCpu(
      [processor(0, 0), processor(1, 1), processor(2, 0), processor(3, 1)].join('\n\n'),
    );
    assert.equal(cpu.model, 'Example CPU @ 2.40GHz');
    assert.equal(cpu.cores, 2);
    assert.deepEqual(cpu.features, ['AVX2', 'AVX-512', 'AMX BF16']);
  });

  it('reads what arm64 writes', () => {
    const cpu = describeCpu(
      'processor\t: 0\nFeatures\t: fp asimd bf16\n\nprocessor\t: 1\nFeatures\t: fp asimd bf16\n',
    );
    assert.equal(cpu.cores, 2);
    assert.deepEqual(cpu.features, ['NEON', 'BF16']);
  });

  it('has memory', () => {
    const { total, available } = describeMemory();
    assert.ok(available > 0 && available <= total);
  });
});
