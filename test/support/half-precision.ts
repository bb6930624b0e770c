/** Rounds float32 to float16 and bfloat16, to nearest with ties to even, as torch's `.half()` does. */

/** Bits of the nearest float16 (IEEE 754 binary16) of a float32 given by its bits. */
function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 and above are nearer to 2^16, which float16 does not have.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  const exponent = (magnitude >>> 23) - 112;
  const normal = exponent > 0;
  // At or below 2^-25, half of the smallest subnormal, the nearest even value is zero.
  if (exponent < -10) return sign;
  const shift = normal ? 13 : 14 - exponent;
  const significand = normal ? magnitude - (112 << 23) : (magnitude & 0x7fffff) | 0x800000;
  const rest = significand & ((1 << shift) - 1);
  const half = significand >>> shift;
  const middle = 1 << (shift - 1);
  const up = rest > middle || (rest === middle && (half & 1) === 1);
  return sign | (half + (up ? 1 : 0));
}

/** Bits of the nearest bfloat16 of a float32 given by its bits. */
function bfloat16Bits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function convert(values: Float32Array, narrow: (bits: number) => number): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let index = 0; index < result.length; index += 1) result[index] = narrow(bits[index] ?? 0);
  return result;
}

/** The values as float16 bits. */
export const toFloat16 = (values: Float32Array): Uint16Array => convert(values, halfBits);

/** The values as bfloat16 bits. */
export const toBFloat16 = (values: Float32Array): Uint16Array => convert(values, bfloat16Bits);
