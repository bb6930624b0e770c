/** The command line of the device check. */
import { parseFlags, UsageError } from '../../bench/usage.ts';
import type { FamilyName } from '../../test/support/family.ts';

/** Parts in the order in which they run. */
export const PARTS = ['parity', 'memory', 'soak', 'bench'] as const;
export type Part = (typeof PARTS)[number];

export interface Flags {
  readonly device: 'cpu' | 'cuda';
  /** Folder for the result. */
  readonly out: string;
  readonly only: readonly Part[];
  readonly family: FamilyName;
  readonly size: number;
  readonly frames: number;
  readonly steps: number;
  /** Clips of the soak. */
  readonly clips: number;
  /** CPU threads; 0: LibTorch's choice. */
  readonly threads: number;
}

/** What a device does within minutes. */
const DEFAULTS = {
  cuda: { family: 'sd15', size: '512', frames: '16', steps: '4', clips: '100', threads: '0' },
  cpu: { family: 'demo', size: '128', frames: '8', steps: '2', clips: '24', threads: '1' },
} as const;

const text = { type: 'string' } as const;

/** @throws UsageError */
export function readFlags(args: readonly string[]): Flags {
  const options = {
    ...{ device: text, out: text, only: text, family: text },
    ...{ size: text, frames: text, steps: text, clips: text, threads: text },
  };
  const values = parseFlags(args, options, 'scripts/device-check/main.ts');
  const choice = <T extends string>(flag: string, value: string | undefined, allowed: readonly T[]): T => {
    const found = allowed.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    throw new UsageError(`Expected one of ${allowed.join(', ')} for --${flag}, got '${value ?? ''}'.`);
  };
  const device = choice('device', values.device, ['cpu', 'cuda']);
  const count = (flag: Exclude<keyof (typeof DEFAULTS)['cpu'], 'family'>) => {
    const value = Number(values[flag] ?? DEFAULTS[device][flag]);
    if (Number.isSafeInteger(value) && value >= (flag === 'threads' ? 0 : 1)) return value;
    throw new UsageError(`Expected a positive integer for --${flag}, got '${values[flag]}'.`);
  };
  if (values.out === undefined) throw new UsageError('Expected a folder for the result with --out.');
  return {
    device,
    out: values.out,
    only: (values.only ?? PARTS.join(',')).split(',').map((part) => choice('only', part, PARTS)),
    family: choice('family', values.family ?? DEFAULTS[device].family, ['sd15', 'demo', 'tiny']),
    ...{ size: count('size'), frames: count('frames'), steps: count('steps') },
    ...{ clips: count('clips'), threads: count('threads') },
  };
}
