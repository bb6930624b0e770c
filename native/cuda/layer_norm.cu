// LayerNorm. Some lanes of a warp hold a row in their registers, so that it is read once; rows that are too wide for
// that are read three times, twice from the cache: mean, variance, result.
#include "vector.h"

namespace animatediff::cuda {
namespace {

constexpr int kWarps = 8;
// Of a row in the registers of a lane: 1280 channels, the widest of Stable Diffusion 1.5, by 32 lanes.
constexpr int kMostFloats = 40;

/** Sum over `kLanes` neighbours, in each of them. */
template <int kLanes>
__device__ __forceinline__ float lane_sum(float value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kWholeWarp, value, distance);
  return value;
}

template <typename T>
__device__ __forceinline__ const T* position_of(const LayerNorm& norm, int64_t row) {
  const T* const position = static_cast<const T*>(norm.position);
  return position == nullptr ? nullptr : position + row / norm.tokens % norm.positions * norm.channels;
}

template <typename T>
__device__ __forceinline__ void write(const LayerNorm& norm, Floats<T> values, float mean, float factor,
                                      const T* position, int channel, T* y) {
  const Floats<T> scale = load(static_cast<const T*>(norm.weight) + channel);
  const Floats<T> offset = load(static_cast<const T*>(norm.bias) + channel);
  const Floats<T> added = load_or_zero(position, channel);
#pragma unroll
  for (int i = 0; i < kVector<T>; ++i) {
    values.at[i] = (values.at[i] - mean) * factor * scale.at[i] + offset.at[i] + added.at[i];
  }
  store(y + channel, values);
}

template <typename T, int kLanes>
__global__ void __launch_bounds__(kWarps* kWarp) layer_norm_held(LayerNorm norm) {
  constexpr int kMost = kMostFloats / kVector<T>;
  constexpr int kRows = kWarps * kWarp / kLanes;
  const int64_t rows = norm.frames * norm.tokens;
  const int64_t own = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kLanes;
  const int64_t row = own < rows ? own : rows - 1;  // lanes without a row repeat the last one
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int vectors = norm.channels / kVector<T>;
  const T* const x = static_cast<const T*>(norm.x) + row * norm.channels;
  Floats<T> held[kMost];
#pragma unroll
  for (int v = 0; v < kMost; ++v) {
    const int vector = v * kLanes + lane;
    if (vector < vectors) held[v] = load(x + vector * kVector<T>);
  }
  float sum = 0;
#pragma unroll
  for (int v = 0; v < kMost; ++v) {
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) sum += held[v].at[i];
  }
  const float mean = lane_sum<kLanes>(sum) / static_cast<float>(norm.channels);
  float square = 0;
#pragma unroll
  for (int v = 0; v < kMost; ++v) {
    if (v * kLanes + lane >= vectors) continue;
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) square += (held[v].at[i] - mean) * (held[v].at[i] - mean);
  }
  const float factor = rsqrtf(lane_sum<kLanes>(square) / static_cast<float>(norm.channels) + norm.epsilon);
  if (own >= rows) return;
  const T* const position = position_of<T>(norm, row);
  T* const y = static_cast<T*>(norm.y) + row * norm.channels;
#pragma unroll
  for (int v = 0; v < kMost; ++v) {
    const int vector = v * kLanes + lane;
    if (vector < vectors) write(norm, held[v], mean, factor, position, vector * kVector<T>, y);
  }
}

template <typename T>
__global__ void __launch_bounds__(kWarps* kWarp) layer_norm_wide(LayerNorm norm) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= norm.frames * norm.tokens) return;
  const int first = static_cast<int>(threadIdx.x % kWarp) * kVector<T>;
  constexpr int kStep = kWarp * kVector<T>;
  const T* const x = static_cast<const T*>(norm.x) + row * norm.channels;
  float sum = 0;
  for (int c = first; c < norm.channels; c += kStep) {
    const Floats<T> values = load(x + c);
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) sum += values.at[i];
  }
  const float mean = warp_sum(sum) / static_cast<float>(norm.channels);
  float square = 0;
  for (int c = first; c < norm.channels; c += kStep) {
    const Floats<T> values = load(x + c);
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) square += (values.at[i] - mean) * (values.at[i] - mean);
  }
  const float factor = rsqrtf(warp_sum(square) / static_cast<float>(norm.channels) + norm.epsilon);
  const T* const position = position_of<T>(norm, row);
  T* const y = static_cast<T*>(norm.y) + row * norm.channels;
  for (int c = first; c < norm.channels; c += kStep) write(norm, load(x + c), mean, factor, position, c, y);
}

template <typename T, int kLanes>
const char* run_held(const LayerNorm& call, const Queue& queue) {
  const int64_t blocks = ceiling(call.frames * call.tokens, kWarps * kWarp / kLanes);
  return launch(layer_norm_held<T, kLanes>, blocks, kWarps * kWarp, 0, queue, call);
}

template <typename T>
const char* run(const LayerNorm& call, const Queue& queue) {
  const int64_t lanes = ceiling(call.channels, kMostFloats);
  if (lanes <= 4) return run_held<T, 4>(call, queue);
  if (lanes <= 8) return run_held<T, 8>(call, queue);
  if (lanes <= 16) return run_held<T, 16>(call, queue);
  if (lanes <= 32) return run_held<T, 32>(call, queue);
  return launch(layer_norm_wide<T>, ceiling(call.frames * call.tokens, kWarps), kWarps * kWarp, 0, queue, call);
}

}  // namespace

const char* layer_norm(Type type, const LayerNorm& call, const Queue& queue) {
  return with_type(type, [&](auto value) { return run<decltype(value)>(call, queue); });
}

}  // namespace animatediff::cuda
