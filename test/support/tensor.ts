/**
 * A tensor that is about to be written: its bytes are made when the writer asks for them, so that files of
 * full-size models can be written without holding a model in memory.
 */
import { DTYPE_BYTES, type DType } from '../../lib/weights/types.ts';
import { toBFloat16, toFloat16 } from './half-precision.ts';
import type { Parameter } from './parameters.ts';
import { elementCount, seededTensor } from './seeded-weights.ts';

export interface Tensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Little-endian elements in row-major order. */
  readonly bytes: () => Uint8Array;
}

/** Element types that models are published in. */
export type FloatDType = 'F32' | 'F16' | 'BF16';

type Encoded = Float32Array | Uint16Array;

const ENCODERS: Readonly<Record<FloatDType, (values: Float32Array) => Encoded>> = {
  F32: (values) => values,
  F16: toFloat16,
  BF16: toBFloat16,
};

/** Size in bytes of a tensor's data. */
export function byteLength({ dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>): number {
  return elementCount(shape) * DTYPE_BYTES[dtype];
}

/** A tensor of given values, which are rounded to `dtype` when they are written. */
export function floatTensor(
  name: string,
  shape: readonly number[],
  dtype: FloatDType,
  values: () => Float32Array,
): Tensor {
  const bytes = () => {
    const encoded = ENCODERS[dtype](values());
    return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  };
  return { name, dtype, shape, bytes };
}

/** The seeded tensors of a parameter list. */
export function seededTensors(
  parameters: readonly Parameter[],
  { dtype, variant }: { readonly dtype: FloatDType; readonly variant: number },
): Tensor[] {
  return parameters.map(([name, shape]) =>
    floatTensor(name, shape, dtype, () => seededTensor(name, shape, variant)),
  );
}

/**
 * Sinusoidal position table [1, length, channels]: sin(p · ω) at even channels 2i, cos at the odd ones that
 * follow, ω = 10000^(-2i / channels) (Vaswani et al. 2017, arXiv 1706.03762, §3.5). Rounded to float32 after
 * each step, as torch made the tables in published files; the exact table differs by up to 1e-6.
 */
export function positionTable(length: number, channels: number): Float32Array {
  const { fround } = Math;
  const scale = fround(-Math.log(10000) / channels);
  const table = new Float32Array(length * channels);
  for (let channel = 0; channel < channels; channel += 1) {
    const frequency = fround(Math.exp(fround((channel - (channel % 2)) * scale)));
    const wave = channel % 2 === 0 ? Math.sin : Math.cos;
    for (let position = 0; position < length; position += 1) {
      table[position * channels + channel] = wave(fround(position * frequency));
    }
  }
  return table;
}
