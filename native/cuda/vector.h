// Sixteen bytes at a time, computed with as float32.
#pragma once

#include <cstring>

#include "platform.h"

namespace animatediff::cuda {

/** Elements in 16 bytes. */
template <typename T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

template <typename T>
struct Floats {
  float at[kVector<T>] = {};
};

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ float widen(__half value) { return __half2float(value); }
__device__ __forceinline__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

__device__ __forceinline__ void narrow(float value, float& target) { target = value; }
__device__ __forceinline__ void narrow(float value, __half& target) { target = __float2half_rn(value); }
__device__ __forceinline__ void narrow(float value, __nv_bfloat16& target) { target = __float2bfloat16_rn(value); }

/** `source` is a multiple of 16 bytes. */
template <typename T>
__device__ __forceinline__ Floats<T> load(const T* source) {
  const uint4 raw = *reinterpret_cast<const uint4*>(source);
  T values[kVector<T>];
  memcpy(values, &raw, sizeof(raw));
  Floats<T> result;
#pragma unroll
  for (int i = 0; i < kVector<T>; ++i) result.at[i] = widen(values[i]);
  return result;
}

/** `target` is a multiple of 16 bytes. */
template <typename T>
__device__ __forceinline__ void store(T* target, const Floats<T>& source) {
  T values[kVector<T>];
#pragma unroll
  for (int i = 0; i < kVector<T>; ++i) narrow(source.at[i], values[i]);
  uint4 raw;
  memcpy(&raw, values, sizeof(raw));
  *reinterpret_cast<uint4*>(target) = raw;
}

/** The vector at `source`, or zeros where there is no tensor. */
template <typename T>
__device__ __forceinline__ Floats<T> load_or_zero(const T* source, int64_t offset) {
  return source != nullptr ? load(source + offset) : Floats<T>{};
}

/** Sum over all lanes of a warp, in each of them. */
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kWholeWarp, value, distance);
  return value;
}

/** x / (1 + exp(-x)); for 16-bit results by the processor's own approximations, which are 2^-20 apart from it. */
template <typename T>
__device__ __forceinline__ float silu(float x) {
  if constexpr (sizeof(T) == sizeof(float)) return x / (1.0F + expf(-x));
  return __fdividef(x, 1.0F + __expf(-x));
}

/**
 * x / 2 * (1 + erf(x / sqrt(2))), the exact GELU. For 16-bit results the error function comes from formula 7.1.26 of
 * Abramowitz and Stegun, whose error is at most 1.5e-7.
 */
template <typename T>
__device__ __forceinline__ float gelu(float x) {
  const float place = x * 0.70710678118654752F;
  if constexpr (sizeof(T) == sizeof(float)) return 0.5F * x * (1.0F + erff(place));
  const float distance = fabsf(place);
  const float t = __fdividef(1.0F, 1.0F + 0.3275911F * distance);
  float sum = 1.061405429F;
  for (const float term : {-1.453152027F, 1.421413741F, -0.284496736F, 0.254829592F}) sum = sum * t + term;
  // exp(-z^2) t sum is the complementary error function of |z|, which keeps its digits where it is small.
  const float half = 0.5F * t * sum * __expf(-distance * distance);
  return x * (x < 0.0F ? half : 1.0F - half);
}

}  // namespace animatediff::cuda
