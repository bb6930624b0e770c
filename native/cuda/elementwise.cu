// What follows a matrix product or a convolution element by element, and skip connections.
#include <algorithm>

#include "vector.h"

namespace animatediff::cuda {
namespace {

constexpr int kThreads = 256;
// Vectors of a block, about: so few that a division by the length of a row fits 32 bits.
constexpr int kVectorsPerBlock = 4 * kThreads;

int rows_per_block(int vectors) { return std::max(1, kVectorsPerBlock / vectors); }

// Calls `body` with the row and the vector within it of every vector of this block's rows.
template <typename Body>
__device__ __forceinline__ void each_vector(int64_t rows, int rows_per_block, int vectors, const Body& body) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * rows_per_block;
  const int count = rows - first < rows_per_block ? static_cast<int>(rows - first) : rows_per_block;
  for (unsigned i = threadIdx.x; i < static_cast<unsigned>(count * vectors); i += kThreads) {
    const unsigned row = i / static_cast<unsigned>(vectors);
    body(first + row, static_cast<int>(i - row * static_cast<unsigned>(vectors)));
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    gated_gelu_rows(int64_t rows, int rows_per_block, int channels, const T* x, const T* bias, T* y) {
  each_vector(rows, rows_per_block, channels / kVector<T>, [&](int64_t row, int vector) {
    const int channel = vector * kVector<T>;
    const T* const source = x + row * 2 * channels + channel;
    Floats<T> hidden = load(source);
    const Floats<T> gate = load(source + channels);
    const Floats<T> hidden_bias = load_or_zero(bias, channel);
    const Floats<T> gate_bias = load_or_zero(bias, channels + channel);
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) {
      hidden.at[i] = (hidden.at[i] + hidden_bias.at[i]) * gelu<T>(gate.at[i] + gate_bias.at[i]);
    }
    store(y + row * channels + channel, hidden);
  });
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    add_bias_residual_rows(int64_t rows, int rows_per_block, int channels, T* x, const T* bias, const T* residual) {
  each_vector(rows, rows_per_block, channels / kVector<T>, [&](int64_t row, int vector) {
    const int channel = vector * kVector<T>;
    const int64_t place = row * channels + channel;
    Floats<T> values = load(x + place);
    const Floats<T> added = load(residual + place);
    const Floats<T> offset = load_or_zero(bias, channel);
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) values.at[i] += offset.at[i] + added.at[i];
    store(x + place, values);
  });
}

template <typename T>
__global__ void __launch_bounds__(kThreads) join_rows(JoinChannels call, int rows_per_block) {
  const int channels = call.left_channels + call.right_channels;
  each_vector(call.rows, rows_per_block, channels / kVector<T>, [&](int64_t row, int vector) {
    const int channel = vector * kVector<T>;
    const bool is_left = channel < call.left_channels;
    const T* const source =
        is_left ? static_cast<const T*>(call.left) + row * call.left_channels + channel
                : static_cast<const T*>(call.right) + row * call.right_channels + channel - call.left_channels;
    *reinterpret_cast<uint4*>(static_cast<T*>(call.y) + row * channels + channel) =
        *reinterpret_cast<const uint4*>(source);
  });
}

}  // namespace

const char* join_channels(Type type, const JoinChannels& call, const Queue& queue) {
  return with_type(type, [&](auto value) {
    using T = decltype(value);
    const int each = rows_per_block((call.left_channels + call.right_channels) / kVector<T>);
    return launch(join_rows<T>, ceiling(call.rows, each), kThreads, 0, queue, call, each);
  });
}

const char* gated_gelu(Type type, int64_t rows, int channels, const void* x, const void* bias, void* y,
                       const Queue& queue) {
  return with_type(type, [&](auto value) {
    using T = decltype(value);
    const int each = rows_per_block(channels / kVector<T>);
    return launch(gated_gelu_rows<T>, ceiling(rows, each), kThreads, 0, queue, rows, each, channels,
                  static_cast<const T*>(x), static_cast<const T*>(bias), static_cast<T*>(y));
  });
}

const char* add_bias_residual(Type type, int64_t rows, int channels, void* x, const void* bias, const void* residual,
                              const Queue& queue) {
  return with_type(type, [&](auto value) {
    using T = decltype(value);
    const int each = rows_per_block(channels / kVector<T>);
    return launch(add_bias_residual_rows<T>, ceiling(rows, each), kThreads, 0, queue, rows, each, channels,
                  static_cast<T*>(x), static_cast<const T*>(bias), static_cast<const T*>(residual));
  });
}

}  // namespace animatediff::cuda
