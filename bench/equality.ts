/** Proves that two sides compute the same: without that, a ratio of times means nothing. */
import type { EngineDtype } from '../lib/load.ts';
import { TENSORS, type TensorName } from './job.ts';
import { readTensor } from './tensor-file.ts';

export interface Difference {
  /** Root mean square of the difference, relative to that of the reference. */
  readonly relative: number;
  /** Largest absolute difference, relative to the largest value of the reference. */
  readonly largest: number;
}

/**
 * Largest {@link Difference.relative} of a side whose networks run in an element type, from a reference in float32.
 * The unit round-off of bfloat16 is 4e-3, and each of some thousand operators rounds once.
 */
export const TOLERANCE: Readonly<Record<EngineDtype, Readonly<Record<TensorName, number>>>> = {
  float32: { unet: 1e-4, latents: 1e-4, pictures: 1e-4 },
  float16: { unet: 1e-2, latents: 1e-2, pictures: 2e-2 },
  bfloat16: { unet: 5e-2, latents: 5e-2, pictures: 8e-2 },
};

/** NaN where either side has one, so that no comparison holds. */
export function difference(actual: Float32Array, reference: Float32Array): Difference {
  if (actual.length !== reference.length)
    throw new RangeError(`Expected ${reference.length} values, got ${actual.length}.`);
  let [squares, scale, error, largest] = [0, 0, 0, 0];
  for (const [index, expected] of reference.entries()) {
    const delta = Math.abs((actual[index] ?? Number.NaN) - expected);
    squares += delta * delta;
    scale += expected * expected;
    error = Math.max(error, delta);
    largest = Math.max(largest, Math.abs(expected));
  }
  return { relative: Math.sqrt(squares / scale), largest: error / largest };
}

export interface Proof {
  readonly side: string;
  readonly reference: string;
  readonly tensor: TensorName;
  readonly difference: Difference;
  readonly tolerance: number;
  readonly holds: boolean;
}

/** A side that wrote its tensors into a folder. */
export interface Kept {
  readonly side: string;
  readonly dtype: EngineDtype;
  readonly out: string;
}

/** The least exact of two sides decides how far they may be apart. */
function toleranceOf(tensor: TensorName, a: EngineDtype, b: EngineDtype): number {
  return Math.max(TOLERANCE[a][tensor], TOLERANCE[b][tensor]);
}

/** Compares every side with the reference. */
export function prove(sides: readonly Kept[], reference: Kept): readonly Proof[] {
  return sides
    .filter((side) => side !== reference)
    .flatMap((side) =>
      TENSORS.map((tensor): Proof => {
        const found = difference(readTensor(side.out, tensor), readTensor(reference.out, tensor));
        const tolerance = toleranceOf(tensor, side.dtype, reference.dtype);
        return {
          side: side.side,
          reference: reference.side,
          tensor,
          difference: found,
          tolerance,
          holds: found.relative <= tolerance,
        };
      }),
    );
}

/** The most exact peer; this package itself when it runs alone. */
export function chooseReference(sides: readonly Kept[]): Kept | undefined {
  const exact = (side: Kept) => side.dtype === 'float32';
  const ours = (side: Kept) => side.side.startsWith('ours');
  return (
    sides.find((side) => exact(side) && !ours(side)) ??
    sides.find((side) => !ours(side)) ??
    sides.find(exact) ??
    sides[0]
  );
}
