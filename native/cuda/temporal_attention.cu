// Attention of every pixel over its frames, read from the fused projection where it lies: without tensor cores, for
// float32 and for bfloat16 on processors that have none for it. temporal_tiles.cu has them.
//
// One warp works on one head of one pixel. Queries, later overwritten by the output, and keys, later by the values, lie
// in shared memory. With up to 16 frames two lanes share a query: each scores half of the keys, then each computes half
// of the output's vectors; with more frames every lane has a query of its own. Scores and sums are float32 in
// registers.
#include <algorithm>
#include <cmath>

#include "temporal.h"
#include "tiles.h"

namespace animatediff::cuda {
namespace {

constexpr int kMostWarps = 8;

// An odd number of 16-byte units between rows: eight lanes that read eight rows use all banks of shared memory once.
template <typename T>
__host__ __device__ constexpr int row_stride(int width) {
  return (width / kVector<T> | 1) * kVector<T>;
}

struct Problem {
  TemporalAttention sizes;
  int64_t items;
  int warps;
  /** 1 / sqrt(width) for powers of 2. */
  float scale;
};

/** Copies rows of `width` elements; one of the strides is that of shared memory. */
template <typename T>
__device__ __forceinline__ void copy_rows(int lane, int rows, int width, const T* source, int64_t source_stride,
                                          T* target, int64_t target_stride) {
  const int units = width / kVector<T>;
  for (int i = lane; i < rows * units; i += kWarp) {
    const int row = i / units;
    const int place = (i - row * units) * kVector<T>;
    *reinterpret_cast<uint4*>(target + row * target_stride + place) =
        *reinterpret_cast<const uint4*>(source + row * source_stride + place);
  }
}

/** Largest or sum over the lanes that share a query. */
template <int kSharers, typename Fold>
__device__ __forceinline__ float fold_sharers(float value, const Fold& fold) {
  if constexpr (kSharers == 2) value = fold(value, __shfl_xor_sync(kWholeWarp, value, kWarp / 2));
  return value;
}

template <typename T, int kFrames>
__global__ void __launch_bounds__(kMostWarps* kWarp) attend_over_frames(Problem problem) {
  constexpr int kSharers = kWarp / kFrames;
  constexpr int kKeys = kFrames / kSharers;  // that one lane scores
  const TemporalAttention& sizes = problem.sizes;
  const int frames = sizes.frames;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t item = static_cast<int64_t>(blockIdx.x) * problem.warps + warp;
  if (item >= problem.items) return;
  const int64_t channels = static_cast<int64_t>(sizes.heads) * sizes.width;
  const int64_t pixel = item / sizes.heads % sizes.pixels;
  const int64_t first = item / sizes.heads / sizes.pixels * frames * sizes.pixels + pixel;  // its row in frame 0
  const int64_t head = item % sizes.heads * sizes.width;
  const T* const source = static_cast<const T*>(sizes.qkv) + first * 3 * channels + head;
  const int64_t source_stride = sizes.pixels * 3 * channels;

  const int stride = row_stride<T>(sizes.width);
  T* const queries = shared_memory<T>() + 2 * warp * frames * stride;
  T* const keys = queries + frames * stride;
  copy_rows(lane, frames, sizes.width, source, source_stride, queries, stride);
  copy_rows(lane, frames, sizes.width, source + channels, source_stride, keys, stride);
  __syncwarp();

  const int query = lane % kFrames;
  const int sharer = lane / kFrames;
  const int own = query < frames ? query : frames - 1;  // lanes without a query repeat the last one
  const int units = sizes.width / kVector<T>;
  float scores[kKeys] = {};
  for (int unit = 0; unit < units; ++unit) {
    const Floats<T> left = load(queries + own * stride + unit * kVector<T>);
#pragma unroll
    for (int k = 0; k < kKeys; ++k) {
      const int key = sharer * kKeys + k;
      if (key < frames) {
        const Floats<T> right = load(keys + key * stride + unit * kVector<T>);
#pragma unroll
        for (int i = 0; i < kVector<T>; ++i) scores[k] += left.at[i] * right.at[i];
      }
    }
  }

  float most = -INFINITY;
#pragma unroll
  for (int k = 0; k < kKeys; ++k) most = sharer * kKeys + k < frames ? fmaxf(most, scores[k]) : most;
  most = fold_sharers<kSharers>(most, [](float a, float b) { return fmaxf(a, b); });
  float total = 0;
#pragma unroll
  for (int k = 0; k < kKeys; ++k) {
    scores[k] = sharer * kKeys + k < frames ? exp2f((scores[k] - most) * problem.scale) : 0.0F;
    total += scores[k];
  }
  total = fold_sharers<kSharers>(total, [](float a, float b) { return a + b; });

  // The weights of all keys; registers cannot be indexed by the lane.
  float weights[kFrames];
#pragma unroll
  for (int k = 0; k < kKeys; ++k) {
    if constexpr (kSharers == 1) {
      weights[k] = scores[k];
    } else {
      const float other = __shfl_xor_sync(kWholeWarp, scores[k], kWarp / 2);
      weights[k] = sharer == 0 ? scores[k] : other;
      weights[kKeys + k] = sharer == 0 ? other : scores[k];
    }
  }

  __syncwarp();  // every lane is done with queries and keys
  copy_rows(lane, frames, sizes.width, source + 2 * channels, source_stride, keys, stride);
  __syncwarp();
  const float factor = 1.0F / total;
  for (int unit = sharer; unit < units; unit += kSharers) {
    Floats<T> sum;
#pragma unroll
    for (int key = 0; key < kFrames; ++key) {
      if (key < frames) {
        const Floats<T> value = load(keys + key * stride + unit * kVector<T>);
#pragma unroll
        for (int i = 0; i < kVector<T>; ++i) sum.at[i] += weights[key] * value.at[i];
      }
    }
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) sum.at[i] *= factor;
    if (query < frames) store(queries + query * stride + unit * kVector<T>, sum);
  }
  __syncwarp();
  T* const out = static_cast<T*>(sizes.out) + first * channels + head;
  copy_rows(lane, frames, sizes.width, queries, stride, out, sizes.pixels * channels);
}

template <typename T>
const char* run(const TemporalAttention& sizes, const Queue& queue) {
  const int64_t bytes = int64_t{2} * sizes.frames * row_stride<T>(sizes.width) * static_cast<int64_t>(sizeof(T));
  if (sizes.frames > kMostFrames || bytes > kSharedBytes) {
    return kTooLarge;
  }
  const auto warps = static_cast<int>(std::min<int64_t>(kMostWarps, kSharedBytes / bytes));
  const Problem problem{sizes, sizes.clips * sizes.pixels * sizes.heads, warps,
                        1.4426950408889634F / std::sqrt(static_cast<float>(sizes.width))};
  return launch(sizes.frames <= 16 ? attend_over_frames<T, 16> : attend_over_frames<T, 32>,
                ceiling(problem.items, warps), warps * kWarp, warps * bytes, queue, problem);
}

}  // namespace

const char* temporal_attention(Type type, const TemporalAttention& call, const Queue& queue) {
  const bool tiles =
      type == Type::kFloat16 || (type == Type::kBFloat16 && compute_capability(queue) >= kFirstWithBFloat16Tiles);
  if (tiles) return temporal_attention_by_tiles(type, call, queue);
  if (type == Type::kFloat32) return run<float>(call, queue);
  return run<__nv_bfloat16>(call, queue);
}

}  // namespace animatediff::cuda
