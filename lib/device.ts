/** Which device a pipeline runs on. Nothing but `auto` ever becomes another device than was asked for. */
import { AnimateDiffError } from './errors.ts';
import type { Device } from './options.ts';

export interface ChosenDevice {
  readonly kind: 'cpu' | 'cuda';
  readonly index: number;
}

/**
 * @param count CUDA devices that answer
 * @param whyNot the reason that there is none
 * @throws AnimateDiffError `ERR_DEVICE_UNAVAILABLE`
 */
export function chooseDevice(device: Device, count: number, whyNot: () => string): ChosenDevice {
  if (device === 'cpu' || (device === 'auto' && count === 0)) return { kind: 'cpu', index: 0 };
  const index = Number(device.split(':')[1] ?? 0);
  const details = { device, devices: count };
  if (count === 0) {
    const message = `The device '${device}' was asked for, and CUDA cannot be used: ${whyNot()}. \`npx animatediff-native doctor\` shows more; device 'cpu' works without.`;
    throw new AnimateDiffError('ERR_DEVICE_UNAVAILABLE', message, { details });
  }
  if (index >= count) {
    const there = count === 1 ? 'the only one is cuda:0' : `there are cuda:0 to cuda:${count - 1}`;
    const message = `There is no device '${device}': ${there}, as CUDA_VISIBLE_DEVICES numbers them.`;
    throw new AnimateDiffError('ERR_DEVICE_UNAVAILABLE', message, { details });
  }
  return { kind: 'cuda', index };
}
