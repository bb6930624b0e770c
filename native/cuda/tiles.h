// Products of small matrices by tensor cores: tiles whose elements the lanes of a warp share.
//
// Lane l holds, with row = l / 4 and pair = 2 * (l % 4), two neighbours in each word:
//   left  [16, 8]  first: [row][pair], [row][pair + 1]; second: the same of row + 8
//   right [8, 8]   [pair][row], [pair + 1][row]
//   sum   [16, 8]  float [row][pair], [row][pair + 1], [row + 8][pair], [row + 8][pair + 1]
// (PTX ISA, mma.m16n8k8.)
#pragma once

#include <cstring>

#include "vector.h"

namespace animatediff::cuda {

struct LeftTile {
  uint32_t first;
  uint32_t second;
};

struct SumTile {
  float at[4] = {};
};

/** bfloat16 takes compute capability 8. */
inline constexpr int kFirstWithBFloat16Tiles = 8;

template <typename T>
__device__ __forceinline__ uint32_t pack(T low, T high) {
  const T both[2] = {low, high};
  uint32_t word;
  memcpy(&word, both, sizeof(word));
  return word;
}

template <typename T>
__device__ __forceinline__ uint32_t pack_rounded(float low, float high) {
  T both[2];
  narrow(low, both[0]);
  narrow(high, both[1]);
  return pack(both[0], both[1]);
}

/** Two neighbours at a multiple of four bytes. */
template <typename T>
__device__ __forceinline__ uint32_t load_pair(const T* source) {
  return *reinterpret_cast<const uint32_t*>(source);
}

#ifdef __CUDACC__

/** sum += left * right, by all lanes of the warp. */
__device__ __forceinline__ void multiply_tiles(SumTile& sum, LeftTile left, uint32_t right, __half /*type*/) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(sum.at[0]), "+f"(sum.at[1]), "+f"(sum.at[2]), "+f"(sum.at[3])
               : "r"(left.first), "r"(left.second), "r"(right));
}

__device__ __forceinline__ void multiply_tiles(SumTile& sum, LeftTile left, uint32_t right, __nv_bfloat16 /*type*/) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(sum.at[0]), "+f"(sum.at[1]), "+f"(sum.at[2]), "+f"(sum.at[3])
               : "r"(left.first), "r"(left.second), "r"(right));
#else
  __trap();  // the host does not start it there
#endif
}

#else

template <typename T>
void multiply_tiles(SumTile& sum, LeftTile left, uint32_t right, T /*type*/) {
  const auto element = [](uint32_t word, int index) {
    T both[2];
    memcpy(both, &word, sizeof(word));
    return widen(both[index]);
  };
  const auto lanes = emulated::Block::current().gather({left.first, left.second, right});
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4;
    const int column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 8; ++k) {
      const float a = element(lanes[row * 4 + k / 2][i / 2], k % 2);
      sum.at[i] += a * element(lanes[column * 4 + k / 2][2], k % 2);
    }
  }
}

#endif

}  // namespace animatediff::cuda
