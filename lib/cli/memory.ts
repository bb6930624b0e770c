/** What a run took of the machine's memory, as its summary tells it. */
import type { PipelineMemory } from '../animatediff.ts';
import { formatBytes } from './progress.ts';

/** `Weights 2.8 GB; at most 3.9 GB on the host, 6.1 GB on the device.` */
export function memorySentence({ weights, hostPeak, devicePeak }: PipelineMemory): string {
  const device = devicePeak > 0 ? `, ${formatBytes(devicePeak)} on the device` : '';
  return `Weights ${formatBytes(weights)}; at most ${formatBytes(hostPeak)} on the host${device}.`;
}
