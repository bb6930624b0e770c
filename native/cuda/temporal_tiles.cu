// Attention of every pixel over its frames by tensor cores.
//
// A block works on some heads of one pixel: it copies their queries, keys and values of all frames, which lie behind
// one another in the fused projection, into shared memory; then one warp for each head multiplies them. Queries make
// way for the output, which the whole block writes. Scores and sums are float32 in registers, weights of the softmax
// are rounded to the type of the tensors, as in arXiv 2205.14135.
#include <algorithm>
#include <cmath>

#include "temporal.h"
#include "tiles.h"

namespace animatediff::cuda {
namespace {

constexpr int kTile = 16;  // frames
constexpr int kMostWarps = 8;
constexpr int kBatch = 8;  // units of 16 bytes that a thread has under way

struct Problem {
  TemporalAttention sizes;
  /** Of a pixel, each with `heads` heads. */
  int groups;
  int heads;
  /** Of a row in shared memory: an odd number of units of 16 bytes, so that eight rows lie in different banks. */
  int stride;
  /** 1 / sqrt(width) for powers of 2. */
  float scale;
};

/** Of the rows that this thread copies: its unit of 16 bytes, its first row, and the distance to the next one. */
struct Share {
  __device__ Share(int units)
      : unit(static_cast<int>(threadIdx.x) % units), row(static_cast<int>(threadIdx.x) / units) {
    step = static_cast<int>(blockDim.x) / units;
    if (row >= step) row = 1 << 30;  // threads that make no whole row
  }

  int unit;
  int row;
  int step;
};

/** Queries, keys and values of the frames, zeros up to the last row of a tile: a product with NaN would be NaN. */
template <typename T, int kRows>
__device__ __forceinline__ void read_rows(const Problem& problem, const T* source, T* shared) {
  const TemporalAttention& sizes = problem.sizes;
  const int64_t channels = static_cast<int64_t>(sizes.heads) * sizes.width;
  const int64_t frame_stride = sizes.pixels * 3 * channels;
  const Share share(problem.heads * sizes.width / kVector<T>);
  const int column = share.unit * kVector<T>;
  for (int first = share.row; first < 3 * kRows; first += kBatch * share.step) {
    uint4 values[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int row = first + i * share.step;
      const int part = row / kRows;
      const int frame = row % kRows;
      values[i] = uint4{0, 0, 0, 0};
      if (row < 3 * kRows && frame < sizes.frames) {
        values[i] = *reinterpret_cast<const uint4*>(source + frame * frame_stride + part * channels + column);
      }
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int row = first + i * share.step;
      if (row < 3 * kRows) *reinterpret_cast<uint4*>(shared + row * problem.stride + column) = values[i];
    }
  }
}

/** Largest or sum over the four lanes that share a row. */
template <typename Fold>
__device__ __forceinline__ float fold_row(float value, const Fold& fold) {
  value = fold(value, __shfl_xor_sync(kWholeWarp, value, 1));
  return fold(value, __shfl_xor_sync(kWholeWarp, value, 2));
}

/** Turns the scores of rows `half` (0: row, 1: row + 8) into exp(score - largest) and returns their sum. */
template <int kColumns>
__device__ __forceinline__ float exponentials(SumTile (&scores)[kColumns], int half, int pair, const Problem& problem) {
  float most = -INFINITY;
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (8 * j + pair + i < problem.sizes.frames) most = fmaxf(most, scores[j].at[2 * half + i]);
    }
  }
  most = fold_row(most, [](float a, float b) { return fmaxf(a, b); });
  float total = 0;
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float& score = scores[j].at[2 * half + i];
      score = 8 * j + pair + i < problem.sizes.frames ? exp2f((score - most) * problem.scale) : 0.0F;
      total += score;
    }
  }
  return fold_row(total, [](float a, float b) { return a + b; });
}

/** One head; `queries` and, behind them, keys and values: each [kRows, stride]. */
template <typename T, int kTiles>
__device__ __forceinline__ void attend(const Problem& problem, T* queries) {
  constexpr int kRows = kTile * kTiles;
  constexpr int kColumns = kRows / 8;
  const int stride = problem.stride;
  const int width = problem.sizes.width;
  const T* const keys = queries + kRows * stride;
  const T* const values = keys + kRows * stride;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = lane / 4;
  const int pair = lane % 4 * 2;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    T* const upper = queries + (kTile * tile + row) * stride + pair;
    T* const lower = upper + 8 * stride;
    SumTile scores[kColumns];
    for (int channel = 0; channel < width; channel += 8) {
      const LeftTile left{load_pair(upper + channel), load_pair(lower + channel)};
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        multiply_tiles(scores[j], left, load_pair(keys + (8 * j + row) * stride + channel + pair), T{});
      }
    }
    const float upper_factor = 1.0F / exponentials(scores, 0, pair, problem);
    const float lower_factor = 1.0F / exponentials(scores, 1, pair, problem);
    LeftTile weights[kColumns];
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      weights[j] = {pack_rounded<T>(scores[j].at[0], scores[j].at[1]),
                    pack_rounded<T>(scores[j].at[2], scores[j].at[3])};
    }
    __syncwarp();  // every lane is done with this tile's queries
    for (int channel = 0; channel < width; channel += 8) {
      SumTile sum;
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const T* const value = values + (8 * j + pair) * stride + channel + row;
        multiply_tiles(sum, weights[j], pack(value[0], value[stride]), T{});
      }
      *reinterpret_cast<uint32_t*>(upper + channel) =
          pack_rounded<T>(sum.at[0] * upper_factor, sum.at[1] * upper_factor);
      *reinterpret_cast<uint32_t*>(lower + channel) =
          pack_rounded<T>(sum.at[2] * lower_factor, sum.at[3] * lower_factor);
    }
  }
}

template <typename T, int kTiles>
__global__ void __launch_bounds__(kMostWarps* kWarp) attend_by_tiles(Problem problem) {
  constexpr int kRows = kTile * kTiles;
  const TemporalAttention& sizes = problem.sizes;
  const int64_t channels = static_cast<int64_t>(sizes.heads) * sizes.width;
  const int64_t place = blockIdx.x / problem.groups;
  const int64_t group = blockIdx.x % problem.groups;
  const int64_t row = place / sizes.pixels * sizes.frames * sizes.pixels + place % sizes.pixels;  // in frame 0
  const int64_t column = group * problem.heads * sizes.width;
  T* const shared = shared_memory<T>();
  read_rows<T, kRows>(problem, static_cast<const T*>(sizes.qkv) + row * 3 * channels + column, shared);
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (warp < problem.heads) attend<T, kTiles>(problem, shared + warp * sizes.width);
  __syncthreads();
  T* const out = static_cast<T*>(sizes.out) + row * channels + column;
  const Share share(problem.heads * sizes.width / kVector<T>);
  for (int frame = share.row; frame < sizes.frames; frame += share.step) {
    const int unit = share.unit * kVector<T>;
    *reinterpret_cast<uint4*>(out + frame * sizes.pixels * channels + unit) =
        *reinterpret_cast<const uint4*>(shared + frame * problem.stride + unit);
  }
}

template <typename T, int kTiles>
const char* run(const TemporalAttention& sizes, const Queue& queue) {
  constexpr int kRows = kTile * kTiles;
  // As many heads as fit into shared memory and have a warp each.
  Problem problem{sizes, 1, sizes.heads, 0, 1.4426950408889634F / std::sqrt(static_cast<float>(sizes.width))};
  const auto bytes = [&] {
    problem.stride = (problem.heads * sizes.width / kVector<T> | 1) * kVector<T>;
    return int64_t{3} * kRows * problem.stride * static_cast<int64_t>(sizeof(T));
  };
  while (problem.heads > 1 && (problem.heads > kMostWarps || bytes() > kSharedBytes)) {
    do --problem.heads;
    while (sizes.heads % problem.heads != 0);
  }
  if (bytes() > kSharedBytes) return kTooLarge;
  problem.groups = sizes.heads / problem.heads;
  const auto units = static_cast<int>(problem.heads * sizes.width / kVector<T>);
  const int64_t copying = ceiling(int64_t{3} * kRows * units, kBatch);
  const auto warps = static_cast<int>(std::clamp<int64_t>(
      ceiling(copying, kWarp), std::max<int64_t>(problem.heads, ceiling(units, kWarp)), kMostWarps));
  return launch(attend_by_tiles<T, kTiles>, sizes.clips * sizes.pixels * problem.groups, warps * kWarp, bytes(), queue,
                problem);
}

template <typename T>
const char* run_any(const TemporalAttention& sizes, const Queue& queue) {
  if (sizes.frames <= kTile) return run<T, 1>(sizes, queue);
  if (sizes.frames <= 2 * kTile) return run<T, 2>(sizes, queue);
  return kTooLarge;
}

}  // namespace

const char* temporal_attention_by_tiles(Type type, const TemporalAttention& call, const Queue& queue) {
  return type == Type::kFloat16 ? run_any<__half>(call, queue) : run_any<__nv_bfloat16>(call, queue);
}

}  // namespace animatediff::cuda
