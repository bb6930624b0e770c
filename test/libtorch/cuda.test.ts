import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readEnvironment } from '../../lib/environment.ts';
import { type CudaFacts, explainCuda } from '../../lib/libtorch/cuda.ts';
import { findLibcuda, libcudaVersion, NVIDIA_PLACES, nvidiaDriver } from '../../lib/libtorch/nvidia.ts';
import { temporaryFolder, writeFiles } from './support/folders.ts';

/** A machine where everything is in place, but LibTorch reports no device. */
const FACTS: CudaFacts = {
  devices: [{ kind: 'cpu' }],
  driver: { present: true, version: '580.95.05' },
  libcuda: '/usr/lib/x86_64-linux-gnu/libcuda.so.1',
  visibleDevices: undefined,
  libtorch: { version: '2.13.0+cu130', cuda: true, root: '/libtorch' },
};

describe('why CUDA is not used', () => {
  it('has no answer when there is a device', () => {
    assert.equal(explainCuda({ ...FACTS, devices: [{ kind: 'cpu' }, { kind: 'cuda' }] }), undefined);
  });

  const causes: readonly [string, Partial<CudaFacts>, RegExp][] = [
    ['no driver', { driver: { present: false, version: undefined } }, /no NVIDIA driver is loaded/],
    ['a container without libcuda', { libcuda: undefined }, /libcuda\.so\.1 is not visible.*--gpus all/],
    ['devices that are hidden', { visibleDevices: '' }, /CUDA_VISIBLE_DEVICES is '', which hides/],
    ['devices that are hidden by -1', { visibleDevices: '-1' }, /CUDA_VISIBLE_DEVICES is '-1'/],
    ['no LibTorch', { libtorch: undefined }, /no LibTorch was found/],
    [
      'a CPU build',
      { libtorch: { version: '2.13.0+cpu', cuda: false, root: '/' } },
      /CPU build.*install --device cuda/,
    ],
    [
      'an old driver',
      { driver: { present: true, version: '570.211.01' } },
      /570\.211\.01 is too old.*580\.65\.06/,
    ],
    [
      'an old driver for CUDA 12',
      {
        driver: { present: true, version: '515.65.01' },
        libcuda: '/usr/lib/libcuda.so.1',
        libtorch: { version: '2.13.0+cu126', cuda: true, root: '/' },
      },
      /515\.65\.01 is too old.*525\.60\.13/,
    ],
    [
      'a ROCm build',
      { libtorch: { version: '2.13.0+rocm6.4', cuda: false, root: '/' } },
      /a ROCm build.*install --device cuda/,
    ],
    [
      'a CUDA build without its CUDA half',
      { libtorch: { version: '2.13.0+cu130', cuda: false, root: '/here' } },
      /in \/here is without libtorch_cuda\.so/,
    ],
    [
      'a driver without a GPU',
      { driver: { present: true, version: '580.95.05', gpus: 0, deviceFiles: 0 } },
      /580\.95\.05 is loaded, and it has no GPU/,
    ],
    [
      'a container without the device files',
      { driver: { present: true, version: '580.95.05', gpus: 8, deviceFiles: 0 } },
      /no \/dev\/nvidia0.*--gpus all/,
    ],
    [
      'a driver that was updated without a restart',
      { libcuda: '/usr/lib64/libcuda.so.580.105.08' },
      /kernel is 580\.95\.05.*belongs to 580\.105\.08; restart/,
    ],
    [
      'a number that no GPU has',
      { visibleDevices: '2,0', driver: { present: true, version: '580.95.05', gpus: 2, deviceFiles: 2 } },
      /CUDA_VISIBLE_DEVICES is '2,0', and the driver has GPUs 0 to 1/,
    ],
    ['a device that LibTorch does not see', {}, /reports no CUDA device/],
  ];
  for (const [name, change, message] of causes) {
    it(`names ${name}`, () => assert.match(explainCuda({ ...FACTS, ...change }) ?? '', message));
  }

  it('does not ask a CUDA 12 build for the driver of CUDA 13', () => {
    const libtorch = { version: '2.13.0+cu126', cuda: true, root: '/' };
    const driver = { present: true, version: '560.35.03' };
    assert.match(explainCuda({ ...FACTS, libtorch, driver }) ?? '', /reports no CUDA device/);
  });

  it('lets a library of NVIDIA run on an older driver, and takes names of devices as they are', () => {
    const libcuda = '/usr/local/cuda/compat/libcuda.so.590.10';
    const driver = { present: true, version: '580.95.05', gpus: 2, deviceFiles: 2 };
    for (const visibleDevices of ['GPU-8932f937-d72c-4106-c12f-20bd9faed9f6', '1', '0,7'])
      assert.match(
        explainCuda({ ...FACTS, libcuda, driver, visibleDevices }) ?? '',
        /reports no CUDA device/,
      );
  });

  it('names the first link that is missing', () => {
    const nothing = {
      ...FACTS,
      driver: { present: false, version: undefined },
      libcuda: undefined,
      libtorch: undefined,
    };
    assert.match(explainCuda(nothing) ?? '', /no NVIDIA driver/);
  });
});

describe("NVIDIA's driver", () => {
  const texts: readonly [string, string][] = [
    [
      'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: x\n',
      '535.183.01',
    ],
    [
      'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder)\n',
      '580.95.05',
    ],
    ['NVRM version: NVIDIA UNIX aarch64 Kernel Module  550.54  Tue Feb 20\n', '550.54'],
  ];
  for (const [text, version] of texts) {
    it(`tells its version ${version}`, () => {
      const folder = temporaryFolder();
      writeFiles(folder, { version: text });
      writeFiles(folder, { 'gpus/0000:01:00.0/information': '', 'dev/nvidia0': '', 'dev/nvidiactl': '' });
      const [driver, gpus, devices] = ['version', 'gpus', 'dev'].map((name) => path.join(folder, name));
      const places = { ...NVIDIA_PLACES, ...{ driver, gpus, devices } } as typeof NVIDIA_PLACES;
      assert.deepEqual(nvidiaDriver(places), { present: true, version, gpus: 1, deviceFiles: 1 });
    });
  }

  it('is seen in WSL, where it has no version, and not where there is nothing', () => {
    const folder = temporaryFolder();
    writeFiles(folder, { dxg: '' });
    const nowhere = path.join(folder, 'nowhere');
    const wsl = { ...NVIDIA_PLACES, driver: nowhere, wsl: path.join(folder, 'dxg') };
    assert.deepEqual(nvidiaDriver(wsl), { present: true, version: undefined });
    assert.deepEqual(nvidiaDriver({ ...wsl, wsl: nowhere }), { present: false, version: undefined });
  });

  it('has a library that tells its version by its name', () => {
    const folder = temporaryFolder();
    writeFiles(folder, { 'libcuda.so.580.95.05': '' });
    symlinkSync('libcuda.so.580.95.05', path.join(folder, 'libcuda.so.1'));
    assert.equal(libcudaVersion(path.join(folder, 'libcuda.so.1')), '580.95.05');
  });

  it('has its library where LD_LIBRARY_PATH says', () => {
    const folder = temporaryFolder();
    writeFiles(folder, { 'libcuda.so.1': '' });
    const environment = readEnvironment({ LD_LIBRARY_PATH: `/nowhere:${folder}` });
    assert.equal(findLibcuda(environment), path.join(folder, 'libcuda.so.1'));
  });
});
