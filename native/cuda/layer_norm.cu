// LayerNorm, one warp for each row. The row is read three times, twice from the cache: mean, variance, result.
#include "vector.h"

namespace animatediff::cuda {
namespace {

constexpr int kWarps = 8;

template <typename T>
__global__ void __launch_bounds__(kWarps* kWarp) layer_norm_rows(LayerNorm norm) {
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
  const T* const weight = static_cast<const T*>(norm.weight);
  const T* const bias = static_cast<const T*>(norm.bias);
  const T* position = static_cast<const T*>(norm.position);
  if (position != nullptr) position += row / norm.tokens % norm.positions * norm.channels;
  T* const y = static_cast<T*>(norm.y) + row * norm.channels;
  for (int c = first; c < norm.channels; c += kStep) {
    Floats<T> values = load(x + c);
    const Floats<T> scale = load(weight + c);
    const Floats<T> offset = load(bias + c);
    const Floats<T> added = load_or_zero(position, c);
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) {
      values.at[i] = (values.at[i] - mean) * factor * scale.at[i] + offset.at[i] + added.at[i];
    }
    store(y + c, values);
  }
}

}  // namespace

const char* layer_norm(Type type, const LayerNorm& call, const Queue& queue) {
  return with_type(type, [&](auto value) {
    const int64_t blocks = ceiling(call.frames * call.tokens, kWarps);
    return launch(layer_norm_rows<decltype(value)>, blocks, kWarps * kWarp, 0, queue, call);
  });
}

}  // namespace animatediff::cuda
