// A 3x3 convolution behind nearest-neighbour upsampling to twice the size, as one of 2x2 in front of it.
//
// An output pixel in an even row sees source row i - 1 once and row i twice, one in an odd row sees row i twice and row
// i + 1 once; columns alike. So four 2x2 kernels, one for each parity of row and column ("phase"), whose taps are sums
// of the 3x3 kernel's, give the same in 4 / 9 of the multiplications, and the upsampled picture is never written.
#include <algorithm>

#include "vector.h"

namespace animatediff::cuda {
namespace {

constexpr int kThreads = 256;

// Taps of the 3x3 kernel in tap `tap` of phase `phase`, along one axis: [first, last].
__device__ __forceinline__ int first_tap(int phase, int tap) { return tap == 0 ? 0 : 1 + phase; }
__device__ __forceinline__ int last_tap(int phase, int tap) { return tap == 0 ? phase : 2; }

template <typename T>
__global__ void __launch_bounds__(kThreads) sum_taps(PhaseWeights call) {
  const int vectors = call.inputs / kVector<T>;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= static_cast<int64_t>(call.outputs) * vectors) return;
  const int64_t output = index / vectors;
  const int64_t channel = index % vectors * kVector<T>;
  Floats<T> taps[9];
#pragma unroll
  for (int tap = 0; tap < 9; ++tap) {
    taps[tap] = load(static_cast<const T*>(call.weight) + (output * 9 + tap) * call.inputs + channel);
  }
  for (int place = 0; place < 16; ++place) {
    const int phase = place / 4;
    Floats<T> sum;
#pragma unroll
    for (int tap = 0; tap < 9; ++tap) {
      const int row = tap / 3;
      const int column = tap % 3;
      const bool inside = row >= first_tap(phase / 2, place / 2 % 2) && row <= last_tap(phase / 2, place / 2 % 2) &&
                          column >= first_tap(phase % 2, place % 2) && column <= last_tap(phase % 2, place % 2);
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i) sum.at[i] += inside ? taps[tap].at[i] : 0.0F;
    }
    const int64_t row = (phase * call.outputs + output) * 4 + place % 4;
    store(static_cast<T*>(call.phases) + row * call.inputs + channel, sum);
  }
}

// One row of corners for each block.
template <typename T>
__global__ void __launch_bounds__(kThreads) gather_corners(Patches call) {
  const int64_t image = blockIdx.x / (call.height + 1);
  const int64_t row = blockIdx.x % (call.height + 1);
  const auto vectors = static_cast<unsigned>(call.channels / kVector<T>);
  const auto places = static_cast<unsigned>(4 * (call.width + 1));
  T* const y = static_cast<T*>(call.y) + static_cast<int64_t>(blockIdx.x) * places * call.channels;
#pragma unroll 4
  for (unsigned i = threadIdx.x; i < places * vectors; i += kThreads) {
    const unsigned place = i / vectors;
    const int64_t channel = static_cast<int64_t>(i - place * vectors) * kVector<T>;
    const int64_t source_row = row - 1 + place % 4 / 2;
    const int64_t source_column = static_cast<int64_t>(place / 4) - 1 + place % 2;
    uint4 value{0, 0, 0, 0};
    if (source_row >= 0 && source_row < call.height && source_column >= 0 && source_column < call.width) {
      const int64_t pixel = (image * call.height + source_row) * call.width + source_column;
      value = *reinterpret_cast<const uint4*>(static_cast<const T*>(call.x) + pixel * call.channels + channel);
    }
    *reinterpret_cast<uint4*>(y + static_cast<int64_t>(place) * call.channels + channel) = value;
  }
}

// One row of the output for each block.
template <typename T>
__global__ void __launch_bounds__(kThreads) interleave(JoinPhases call) {
  const int64_t height = 2 * call.height;
  const int64_t image = blockIdx.x / height;
  const int64_t row = blockIdx.x % height;
  const auto vectors = static_cast<unsigned>(call.channels / kVector<T>);
  const auto width = static_cast<unsigned>(2 * call.width);
  const int64_t parity = row % 2;
  const int64_t source_row = (image * (call.height + 1) + row / 2 + parity) * (call.width + 1);
  const T* const x = static_cast<const T*>(call.x) + (source_row * 4 + parity * 2) * call.channels;
  T* const y = static_cast<T*>(call.y) + static_cast<int64_t>(blockIdx.x) * width * call.channels;
#pragma unroll 4
  for (unsigned i = threadIdx.x; i < width * vectors; i += kThreads) {
    const unsigned column = i / vectors;
    const int64_t channel = static_cast<int64_t>(i - column * vectors) * kVector<T>;
    const int64_t source = static_cast<int64_t>(column / 2 + column % 2) * 4 + column % 2;
    Floats<T> values = load(x + source * call.channels + channel);
    const Floats<T> offset = load_or_zero(static_cast<const T*>(call.bias), channel);
#pragma unroll
    for (int k = 0; k < kVector<T>; ++k) values.at[k] += offset.at[k];
    store(y + static_cast<int64_t>(column) * call.channels + channel, values);
  }
}

}  // namespace

const char* phase_weights(Type type, const PhaseWeights& call, const Queue& queue) {
  return with_type(type, [&](auto value) {
    using T = decltype(value);
    const int64_t items = static_cast<int64_t>(call.outputs) * (call.inputs / kVector<T>);
    return launch(sum_taps<T>, ceiling(items, kThreads), kThreads, 0, queue, call);
  });
}

const char* corner_patches(Type type, const Patches& call, const Queue& queue) {
  return with_type(type, [&](auto value) {
    return launch(gather_corners<decltype(value)>, call.images * (call.height + 1), kThreads, 0, queue, call);
  });
}

const char* join_phases(Type type, const JoinPhases& call, const Queue& queue) {
  return with_type(type, [&](auto value) {
    return launch(interleave<decltype(value)>, call.images * 2 * call.height, kThreads, 0, queue, call);
  });
}

}  // namespace animatediff::cuda
