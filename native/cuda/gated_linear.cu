// The first layer of a feed-forward with its gate, GEGLU, on compute capability 9.0: the product and what follows it in
// one kernel, so that the hidden layer is written once, and half as wide.
//
// A block keeps taking tiles of 128 rows by 128 hidden channels. One warp has the copy engine bring pieces of 64
// columns of x and of the two halves of the weight; two groups of four warps multiply, 64 rows each, and apply the gate
// while the next tile's pieces come. Blocks of a cluster share what they bring of the weight.
#include "gated_linear.h"

#include <algorithm>

#include "hopper.h"
#include "tiles.h"

namespace animatediff::cuda {
namespace {

constexpr int kGroups = 2;
constexpr int kGroupRows = 64;
constexpr int kTileRows = kGroups * kGroupRows;
constexpr int kTileHidden = 128;
constexpr int kStages = 4;
constexpr int kThreads = (kGroups + 1) * kWarpGroup;
constexpr int kRowsBytes = kTileRows * kRowBytes;
constexpr int kHalfBytes = kTileHidden * kRowBytes;
constexpr int kStageBytes = kRowsBytes + 2 * kHalfBytes;
constexpr int kStoredBytes = kGroupRows * kRowBytes;
constexpr int kOutBytes = kGroups * 2 * kStoredBytes;
constexpr int kSharedTotal = kStages * kStageBytes + kOutBytes + 2 * kStages * 8 + 1024;

struct Problem {
  int row_tiles;
  int hidden_tiles;
  int steps;
  int hidden;
};

// The tiles that one cluster takes in turn, and the stages that the pieces of x and weight pass through.
template <int kCluster>
struct Course {
  const Problem& problem;
  int tile = static_cast<int>(blockIdx.x) / kCluster;
  int stage = 0;
  int parity = 0;

  __device__ __forceinline__ bool more() const {
    return tile < (problem.row_tiles + kCluster - 1) / kCluster * problem.hidden_tiles;
  }
  __device__ __forceinline__ void next_tile() { tile += static_cast<int>(gridDim.x) / kCluster; }
  __device__ __forceinline__ int first_row(int rank) const {
    return (tile / problem.hidden_tiles * kCluster + rank) * kTileRows;
  }
  __device__ __forceinline__ int first_hidden() const { return tile % problem.hidden_tiles * kTileHidden; }
  __device__ __forceinline__ void next_stage() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

/** So many at a time hide what each of the dependent steps takes. */
constexpr int kAtOnce = 8;

/** gelu<__half> of vector.h for several values, neighbours of which share a reciprocal. */
__device__ __forceinline__ void apply_gelu(float (&x)[kAtOnce]) {
  float place[kAtOnce];
  float t[kAtOnce];
  float sum[kAtOnce];
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) {
    // |x| / sqrt(2) times sqrt(log2(e)): the square's power is one of two.
    place[i] = fabsf(x[i]) * 0.84932180F;
    t[i] = 1.0F + 0.27273748F * place[i];
  }
#pragma unroll
  for (int i = 0; i < kAtOnce; i += 2) {
    const float both = __fdividef(1.0F, t[i] * t[i + 1]);
    const float first = both * t[i + 1];
    t[i + 1] = both * t[i];
    t[i] = first;
  }
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) sum[i] = 0.5307027145F;
  // Halves of the coefficients.
  for (const float term : {-0.7265760135F, 0.7107068705F, -0.142248368F, 0.127414796F}) {
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) sum[i] = sum[i] * t[i] + term;
  }
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) {
    const float half = t[i] * sum[i] * power_of_two(-place[i] * place[i]);
    x[i] = fmaxf(x[i], 0.0F) - fabsf(x[i]) * half;
  }
}

/** Neighbouring elements of a bias, which may lack; `column` and `columns` are even. */
template <typename T>
__device__ __forceinline__ float2 two_of(const T* bias, int column, int columns) {
  float2 result{0.0F, 0.0F};
  if (bias == nullptr || column >= columns) return result;
  T both[2];
  const uint32_t word = load_pair(bias + column);
  memcpy(both, &word, sizeof(both));
  result.x = widen(both[0]);
  result.y = widen(both[1]);
  return result;
}

// Sums [64, 256] of one group of warps, values and then gates, to its part of the output's tile.
template <typename T>
__device__ __forceinline__ void apply_gate(const float (&sum)[kTileHidden], const T* bias, int first, int hidden,
                                           Shared out) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) % kWarpGroup / kWarp * 16 + lane / 4;
#pragma unroll
  for (int pair = 0; pair < kTileHidden / 8; pair += 2) {
    float gate[kAtOnce];
    float2 offset[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = first + 8 * (pair + i) + lane % 4 * 2;
      offset[i] = two_of(bias, column, hidden);
      const float2 added = two_of(bias == nullptr ? bias : bias + hidden, column, hidden);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        gate[4 * i + j] = sum[kTileHidden / 2 + 4 * (pair + i) + j] + (j % 2 == 0 ? added.x : added.y);
      }
    }
    apply_gelu(gate);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = 8 * (pair + i) + lane % 4 * 2;
      const Shared tile = out + static_cast<Shared>(column / kRowElements * kStoredBytes);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = 4 * (pair + i) + 2 * half;
        const float left = (sum[at] + offset[i].x) * gate[4 * i + 2 * half];
        const float right = (sum[at + 1] + offset[i].y) * gate[4 * i + 2 * half + 1];
        store_word(word_at(tile, row + 8 * half, column % kRowElements), pack_rounded<T>(left, right));
      }
    }
  }
}

template <typename T, int kCluster>
__global__ void __launch_bounds__(kThreads, 1)
    multiply_and_gate(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap weight,
                      const __grid_constant__ TensorMap y, const T* bias, Problem problem) {
  const Shared start = shared_start();
  const Shared out = start + kStages * kStageBytes;
  const Shared full = out + kOutBytes;
  const Shared empty = full + kStages * 8;
  const int group = static_cast<int>(threadIdx.x) / kWarpGroup;
  const int rank = static_cast<int>(cluster_rank());
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      start_barrier(full + i * 8, 1);
      start_barrier(empty + i * 8, kGroups * kCluster);
    }
    show_barriers();
  }
  meet_cluster();
  Course<kCluster> course{problem};
  if (group == 0) {
    take_registers<40, false>();
    if (threadIdx.x == 0) {
      for (; course.more(); course.next_tile()) {
        for (int step = 0; step < problem.steps; ++step, course.next_stage()) {
          const Shared filled = full + course.stage * 8;
          const Shared rows = start + course.stage * kStageBytes;
          const Shared halves = rows + kRowsBytes;
          wait(empty + course.stage * 8, course.parity ^ 1);
          arrive_expecting(filled, kStageBytes);
          load_tile(x, filled, rows, step * kRowElements, course.first_row(rank));
          if constexpr (kCluster == 2) {
            load_tile_for(3, weight, filled, halves + rank * kHalfBytes, step * kRowElements,
                          course.first_hidden() + rank * problem.hidden);
          } else {
            load_tile(weight, filled, halves, step * kRowElements, course.first_hidden());
            load_tile(weight, filled, halves + kHalfBytes, step * kRowElements, course.first_hidden() + problem.hidden);
          }
        }
      }
    }
  } else {
    take_registers<232, true>();
    const int own = group - 1;
    const auto thread = threadIdx.x % kWarpGroup;
    const Shared stored = out + own * 2 * kStoredBytes;
    float sum[kTileHidden];
    for (; course.more(); course.next_tile()) {
      int released = course.stage;
      for (int step = 0; step < problem.steps; ++step, course.next_stage()) {
        wait(full + course.stage * 8, course.parity);
        const Shared rows = start + course.stage * kStageBytes;
        const uint64_t left = matrix_at(rows + own * kStoredBytes);
        const uint64_t right = matrix_at(rows + kRowsBytes);
        pin(sum);
        begin_products();
#pragma unroll
        for (int k = 0; k < 4; ++k) multiply<T>(sum, further(left, 32 * k), further(right, 32 * k), step + k > 0);
        end_products();
        if (step > 0) {
          wait_for_products<1>();
          if (thread < kCluster) arrive_at(empty + released * 8, thread);
        }
        released = course.stage;
      }
      wait_for_products<0>();
      pin(sum);
      if (thread < kCluster) arrive_at(empty + released * 8, thread);
      if (thread == 0) wait_for_stores();
      meet(1 + own, kWarpGroup);
      apply_gate(sum, bias, course.first_hidden(), problem.hidden, stored);
      show_to_copies();
      meet(1 + own, kWarpGroup);
      if (thread == 0) {
        const int row = course.first_row(rank) + own * kGroupRows;
        store_tile(y, stored, course.first_hidden(), row);
        store_tile(y, stored + kStoredBytes, course.first_hidden() + kRowElements, row);
      }
    }
    if (thread == 0) wait_for_stores();
  }
  meet_cluster();
}

TensorView matrix(Type type, const void* data, int64_t rows, int64_t columns, int tile_rows) {
  const int64_t stride = columns * 2;
  return {.type = type,
          .data = data,
          .sizes = {columns, rows, 1, 1},
          .strides = {stride, stride * rows, stride * rows},
          .tile = {kRowElements, tile_rows, 1, 1}};
}

template <typename T, int kCluster>
const char* launch_with(Type type, const GatedLinear& call, const Queue& queue, int processors) {
  TensorMap x{};
  TensorMap weight{};
  TensorMap y{};
  const char* problem = make_tensor_map(matrix(type, call.x, call.rows, call.inputs, kTileRows), x);
  if (problem == nullptr) {
    problem = make_tensor_map(matrix(type, call.weight, 2 * int64_t{call.hidden}, call.inputs, kTileHidden), weight);
  }
  if (problem == nullptr) problem = make_tensor_map(matrix(type, call.y, call.rows, call.hidden, kGroupRows), y);
  if (problem != nullptr) return problem;
  const Problem sizes{static_cast<int>(ceiling(call.rows, kTileRows)),
                      static_cast<int>(ceiling(call.hidden, kTileHidden)),
                      static_cast<int>(ceiling(call.inputs, kRowElements)), call.hidden};
  const int64_t tiles = ceiling(sizes.row_tiles, kCluster) * sizes.hidden_tiles;
  const int64_t clusters = std::min<int64_t>(tiles, std::max(1, processors / kCluster));
  return launch_clusters(multiply_and_gate<T, kCluster>, clusters * kCluster, kCluster, kThreads, kSharedTotal, queue,
                         x, weight, y, static_cast<const T*>(call.bias), sizes);
}

}  // namespace

const char* gated_linear(Type type, const GatedLinear& call, const Queue& queue) {
  constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();
  if (call.rows > kMostRows || call.hidden % 8 != 0 || call.inputs % 8 != 0) {
    return "gated_linear takes at most 2^31 - 1 rows, and widths that are multiples of 8";
  }
  return with_type(type, [&](auto value) -> const char* {
    using T = decltype(value);
    if constexpr (sizeof(T) == sizeof(float)) {
      return "gated_linear takes 16-bit elements";
    } else {
      const int processors = multiprocessors(queue);
#ifdef __CUDACC__
      return launch_with<T, 2>(type, call, queue, processors);
#else
      return launch_with<T, 1>(type, call, queue, processors);
#endif
    }
  });
}

}  // namespace animatediff::cuda
