// GroupNorm of rows of channels, in two stages, so that a few samples fill the whole device.
//
// First, `splits` blocks for each sample add up x - pivot and its square for every group. Then as many blocks add those
// sums up, each for itself, and write the rows whose sums it took: they are the likeliest to lie in the cache. The
// pivot is the group's first element, near enough to the mean for the squares to lose little. No order of summation
// depends on timing, so that equal inputs give equal bits.
#include <algorithm>

#include "vector.h"

namespace animatediff::cuda {
namespace {

constexpr int kMostThreads = 512;
// A narrow tensor's block takes several rows at once.
constexpr int kFewestThreads = 256;
// Enough warps to hide the latency of memory, few enough for all blocks to run at once.
constexpr int kBlocksPerMultiprocessor = 4;
// Fewer rows for a thread than this do not pay for the sums over the block.
constexpr int kRowsPerThread = 4;

// Threads of a block: `lanes` rows of `columns` vectors; wider rows take several passes.
struct Layout {
  int vectors;
  int passes;
  int columns;
  int lanes;

  int threads() const { return static_cast<int>(ceiling(columns * lanes, kWarp)) * kWarp; }
};

template <typename T>
Layout layout_of(int channels) {
  Layout layout{};
  layout.vectors = channels / kVector<T>;
  layout.passes = static_cast<int>(ceiling(layout.vectors, kMostThreads));
  layout.columns = static_cast<int>(ceiling(layout.vectors, layout.passes));
  layout.lanes = std::max(1, kFewestThreads / layout.columns);
  return layout;
}

template <typename T>
struct Call {
  GroupNorm norm;
  Layout layout;
  const T* x;
  T* y;
  const T* weight;
  const T* bias;
  const T* shift;
};

// The rows and the sample of this block.
template <typename T>
struct Share {
  __device__ explicit Share(const Call<T>& call) {
    const GroupNorm& norm = call.norm;
    sample = blockIdx.x / norm.splits;
    split = static_cast<int>(blockIdx.x % norm.splits);
    const int64_t each = (norm.rows + norm.splits - 1) / norm.splits;
    first = split * each;
    end = first + each < norm.rows ? first + each : norm.rows;
    offset = sample * norm.rows * norm.channels;
    width = norm.channels / norm.groups;
    shift = call.shift == nullptr ? nullptr : call.shift + sample * norm.shifts / norm.samples * norm.channels;
    column = static_cast<int>(threadIdx.x) % call.layout.columns;
    lane = static_cast<int>(threadIdx.x) / call.layout.columns;
  }

  __device__ float shift_of(int channel) const { return shift == nullptr ? 0.0F : widen(shift[channel]); }

  __device__ float pivot(const Call<T>& call, int group) const {
    return widen(call.x[offset + group * width]) + shift_of(group * width);
  }

  int64_t sample;
  int split;
  int64_t first;
  int64_t end;
  int64_t offset;
  int width;
  const T* shift;
  int column;
  int lane;
};

template <typename T>
__global__ void __launch_bounds__(kMostThreads) group_moments(Call<T> call) {
  const GroupNorm& norm = call.norm;
  const Layout& layout = call.layout;
  const Share<T> share(call);
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const int stride = layout.columns * kVector<T>;
  float* const sums = shared_memory<float>();  // [lanes, columns * vector], and the squares behind them
  float* const squares = sums + layout.lanes * stride;
  float group_sum = 0;
  float group_square = 0;
  for (int pass = 0; pass < layout.passes; ++pass) {
    const int vector = pass * layout.columns + share.column;
    if (share.lane < layout.lanes && vector < layout.vectors) {
      const int channel = vector * kVector<T>;
      Floats<T> pivot;
      Floats<T> sum;
      Floats<T> square;
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i) {
        pivot.at[i] = share.pivot(call, (channel + i) / share.width) - share.shift_of(channel + i);
      }
      const T* const x = call.x + share.offset + channel;
#pragma unroll 4
      for (int64_t row = share.first + share.lane; row < share.end; row += layout.lanes) {
        const Floats<T> values = load(x + row * norm.channels);
#pragma unroll
        for (int i = 0; i < kVector<T>; ++i) {
          const float value = values.at[i] - pivot.at[i];
          sum.at[i] += value;
          square.at[i] += value * value;
        }
      }
      const int place = share.lane * stride + share.column * kVector<T>;
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i) {
        sums[place + i] = sum.at[i];
        squares[place + i] = square.at[i];
      }
    }
    __syncthreads();
    const int begin = pass * stride;
    const int count = norm.channels - begin < stride ? norm.channels - begin : stride;
    for (int c = thread; c < count; c += threads) {
      for (int lane = 1; lane < layout.lanes; ++lane) {
        sums[c] += sums[lane * stride + c];
        squares[c] += squares[lane * stride + c];
      }
    }
    __syncthreads();
    if (thread < norm.groups) {
      const int low = thread * share.width - begin;
      const int high = low + share.width < count ? low + share.width : count;
      for (int c = low > 0 ? low : 0; c < high; ++c) {
        group_sum += sums[c];
        group_square += squares[c];
      }
    }
    __syncthreads();
  }
  if (thread < norm.groups) {
    float* const partial = norm.partials + 2 * (static_cast<int64_t>(blockIdx.x) * norm.groups + thread);
    partial[0] = group_sum;
    partial[1] = group_square;
  }
}

// Mean and 1 / standard deviation of the sample's groups, for all threads of the block.
template <typename T>
__device__ void finish_statistics(const Call<T>& call, const Share<T>& share, float2* parts, float2* statistics) {
  const GroupNorm& norm = call.norm;
  const int thread = static_cast<int>(threadIdx.x);
  const int stripes = static_cast<int>(blockDim.x) / norm.groups;
  if (thread < stripes * norm.groups) {
    const float* const partials = norm.partials + 2 * share.sample * norm.splits * norm.groups;
    float2 sum{0.0F, 0.0F};
    // Thread t of a stripe and partial t of a split belong to the same group.
    for (int split = thread / norm.groups; split < norm.splits; split += stripes) {
      const int64_t place = static_cast<int64_t>(split) * norm.groups + thread % norm.groups;
      sum.x += partials[2 * place];
      sum.y += partials[2 * place + 1];
    }
    parts[thread] = sum;
  }
  __syncthreads();
  if (thread < norm.groups) {
    float2 sum{0.0F, 0.0F};
    for (int stripe = 0; stripe < stripes; ++stripe) {
      sum.x += parts[stripe * norm.groups + thread].x;
      sum.y += parts[stripe * norm.groups + thread].y;
    }
    const float count = static_cast<float>(norm.rows) * static_cast<float>(share.width);
    const float mean = sum.x / count;
    const float variance = fmaxf(0.0F, sum.y / count - mean * mean);
    statistics[thread] = float2{share.pivot(call, thread) + mean, rsqrtf(variance + norm.epsilon)};
  }
  __syncthreads();
}

template <typename T, bool kSilu>
__global__ void __launch_bounds__(kMostThreads) group_scale(Call<T> call) {
  const GroupNorm& norm = call.norm;
  const Layout& layout = call.layout;
  const Share<T> share(call);
  float2* const parts = shared_memory<float2>();  // [threads], then [groups]
  float2* const statistics = parts + blockDim.x;
  finish_statistics(call, share, parts, statistics);
  if (share.lane >= layout.lanes) return;
  for (int vector = share.column; vector < layout.vectors; vector += layout.columns) {
    const int channel = vector * kVector<T>;
    const Floats<T> weight = load(call.weight + channel);
    const Floats<T> bias = load(call.bias + channel);
    Floats<T> scale;
    Floats<T> offset;
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) {
      const float2 group = statistics[(channel + i) / share.width];
      scale.at[i] = weight.at[i] * group.y;
      offset.at[i] = bias.at[i] + (share.shift_of(channel + i) - group.x) * scale.at[i];
    }
    const int64_t start = share.offset + channel;
#pragma unroll 4
    for (int64_t row = share.first + share.lane; row < share.end; row += layout.lanes) {
      Floats<T> values = load(call.x + start + row * norm.channels);
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i) {
        const float value = values.at[i] * scale.at[i] + offset.at[i];
        values.at[i] = kSilu ? silu<T>(value) : value;
      }
      store(call.y + start + row * norm.channels, values);
    }
  }
}

template <typename T>
const char* run(const GroupNorm& norm, const Queue& queue) {
  if (norm.groups > kMostGroups) return "a group norm has more groups than the CUDA kernel takes";
  const Call<T> call{norm,
                     layout_of<T>(norm.channels),
                     static_cast<const T*>(norm.x),
                     static_cast<T*>(norm.y),
                     static_cast<const T*>(norm.weight),
                     static_cast<const T*>(norm.bias),
                     static_cast<const T*>(norm.shift)};
  const Layout& layout = call.layout;
  const int64_t blocks = norm.samples * norm.splits;
  const int64_t sums = int64_t{2} * layout.lanes * layout.columns * kVector<T> * static_cast<int64_t>(sizeof(float));
  const char* const problem = launch(group_moments<T>, blocks, layout.threads(), sums, queue, call);
  if (problem != nullptr) return problem;
  const int64_t statistics = (layout.threads() + norm.groups) * static_cast<int64_t>(sizeof(float2));
  return launch(norm.silu ? group_scale<T, true> : group_scale<T, false>, blocks, layout.threads(), statistics, queue,
                call);
}

}  // namespace

int group_norm_splits(Type type, int64_t samples, int64_t rows, int channels, const Queue& queue) {
  const int lanes = type == Type::kFloat32 ? layout_of<float>(channels).lanes : layout_of<__half>(channels).lanes;
  const int64_t wanted = ceiling(int64_t{kBlocksPerMultiprocessor} * multiprocessors(queue), samples);
  const int64_t useful = rows / (lanes * kRowsPerThread);
  return static_cast<int>(std::clamp<int64_t>(std::min(wanted, useful), 1, 1024));
}

const char* group_norm(Type type, const GroupNorm& call, const Queue& queue) {
  return with_type(type, [&](auto value) { return run<decltype(value)>(call, queue); });
}

}  // namespace animatediff::cuda
