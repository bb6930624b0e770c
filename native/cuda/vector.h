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

}  // namespace animatediff::cuda
