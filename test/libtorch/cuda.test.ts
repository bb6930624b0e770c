import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readEnvironment } from '../../lib/environment.ts';
import { type CudaFacts, explainCuda } from '../../lib/libtorch/cuda.ts';
import { findLibcuda, NVIDIA_PLACES, nvidiaDriver } from '../../lib/libtorch/nvidia.ts';
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
      const places = { ...NVIDIA_PLACES, driver: path.join(folder, 'version') };
      assert.deepEqual(nvidiaDriver(places), { present: true, version });
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

  it('has its library where LD_LIBRARY_PATH says', () => {
    const folder = temporaryFolder();
    writeFiles(folder, { 'libcuda.so.1': '' });
    const environment = readEnvironment({ LD_LIBRARY_PATH: `/nowhere:${folder}` });
    assert.equal(findLibcuda(environment), path.join(folder, 'libcuda.so.1'));
  });
});
