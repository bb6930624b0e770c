/** Who takes part: this package in one or more element types, and its peers. */
import type { EngineDtype } from '../lib/load.ts';

/** Program that runs a side's turns. */
export type Runner = 'ours' | 'diffusers' | 'sdcpp';

export interface Side {
  /** Key in results: `ours-bfloat16`, `diffusers`, `compile-bfloat16`. */
  readonly name: string;
  readonly runner: Runner;
  readonly dtype: EngineDtype | 'auto';
  readonly mode: 'eager' | 'compile';
}

/** Names that `--against` takes. `compile` has our element type, since that is its best case. */
export const PEERS = ['diffusers', 'diffusers-bf16', 'diffusers-fp16', 'compile', 'sdcpp'] as const;
export type PeerName = (typeof PEERS)[number];

export const ourSide = (dtype: Side['dtype']): Side => ({
  name: `ours-${dtype}`,
  runner: 'ours',
  dtype,
  mode: 'eager',
});

/** @param dtype of this package, which `compile` follows */
export function peerSide(name: PeerName, dtype: EngineDtype): Side {
  switch (name) {
    case 'diffusers':
      return { name, runner: 'diffusers', dtype: 'float32', mode: 'eager' };
    case 'diffusers-bf16':
      return { name, runner: 'diffusers', dtype: 'bfloat16', mode: 'eager' };
    case 'diffusers-fp16':
      return { name, runner: 'diffusers', dtype: 'float16', mode: 'eager' };
    case 'compile':
      return { name: `compile-${dtype}`, runner: 'diffusers', dtype, mode: 'compile' };
    case 'sdcpp':
      return { name, runner: 'sdcpp', dtype: 'float16', mode: 'eager' };
  }
}

const TITLES: Readonly<Record<string, string>> = {
  ours: 'animatediff-native',
  diffusers: 'diffusers',
  compile: 'torch.compile',
  sdcpp: 'stable-diffusion.cpp',
};

/** As tables name it: `torch.compile, bfloat16`. */
export function sideTitle({ name, dtype }: Pick<Side, 'name' | 'dtype'>): string {
  const [key = name] = name.split('-');
  return `${TITLES[key] ?? name}, ${dtype}`;
}
