/** The choice of a device where there are none, one or several; what is there is told, not asked. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseDevice } from '../../lib/device.ts';
import type { Device, LoadOptions } from '../../lib/options.ts';
import { loadTiny } from '../support/pipeline.ts';

const whyNot = () => 'no NVIDIA driver is loaded';

describe('the device', () => {
  const choices: readonly [Device, number, string][] = [
    ['auto', 0, 'cpu:0'],
    ['auto', 2, 'cuda:0'],
    ['cpu', 2, 'cpu:0'],
    ['cuda', 1, 'cuda:0'],
    ['cuda:0', 1, 'cuda:0'],
    ['cuda:1', 2, 'cuda:1'],
  ];
  for (const [device, count, expected] of choices) {
    it(`'${device}' is ${expected} where there are ${count} CUDA devices`, () => {
      const { kind, index } = chooseDevice(device, count, whyNot);
      assert.equal(`${kind}:${index}`, expected);
    });
  }

  it('is never replaced: without CUDA the reason is said', () => {
    for (const device of ['cuda', 'cuda:1'] as const) {
      assert.throws(() => chooseDevice(device, 0, whyNot), {
        code: 'ERR_DEVICE_UNAVAILABLE',
        message: /cannot be used: no NVIDIA driver is loaded\..*doctor/,
        details: { device, devices: 0 },
      });
    }
  });

  it('is never replaced: a number that is not there is said with those that are', () => {
    const refused = { code: 'ERR_DEVICE_UNAVAILABLE' };
    assert.throws(() => chooseDevice('cuda:1', 1, whyNot), { ...refused, message: /the only one is cuda:0/ });
    assert.throws(() => chooseDevice('cuda:9', 8, whyNot), { ...refused, message: /cuda:0 to cuda:7/ });
  });

  it('has a name of one form', async () => {
    for (const device of ['cuda:', 'cuda:-1', 'cuda:1.5', 'cuda:0x1', 'gpu', 'CUDA', 1]) {
      await assert.rejects(loadTiny({ device } as Partial<LoadOptions>), {
        code: 'ERR_INVALID_ARGUMENT',
        message: /'auto', 'cpu', 'cuda' or 'cuda:N'/,
      });
    }
  });
});
