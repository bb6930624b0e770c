// Attention of heads of 40 and 80 elements on compute capability 9.0. Libraries pad such heads to 64 and 128; the
// tensor cores take sums over multiples of 16 and results in multiples of 8, and the copy engine fills in zeros.
//
// After FlashAttention-3 (Shah et al., arXiv 2407.08608): one warp has the copy engine bring keys and values, the other
// groups of four warps hold 64 queries each. While one of them takes exponentials, the others multiply.
#include "head_attention.h"

#include <cmath>

#include "hopper.h"
#include "tiles.h"

namespace animatediff::cuda {
namespace {

constexpr int kGroupQueries = 64;

/** How a kernel is cut; the bottom of this file has those that were the fastest of several. */
template <int kWidthOf, int kGroupsOf, int kKeysOf, int kStagesOf, int kConsumerRegistersOf, int kProducerRegistersOf>
struct Cut {
  static constexpr int kWidth = kWidthOf;
  /** Groups of warps that hold 64 queries each. */
  static constexpr int kGroups = kGroupsOf;
  static constexpr int kKeys = kKeysOf;
  static constexpr int kStages = kStagesOf;
  // Of all threads together at most as many as they start with: 65536 over the threads of the block, rounded down to
  // eights.
  static constexpr int kConsumerRegisters = kConsumerRegistersOf;
  static constexpr int kProducerRegisters = kProducerRegistersOf;

  static constexpr int kThreads = (kGroups + 1) * kWarpGroup;
  /** Tiles side by side that hold a head. */
  static constexpr int kBoxes = (kWidth + kRowElements - 1) / kRowElements;
  static constexpr int kQueryBytes = kGroupQueries * kRowBytes;
  static constexpr int kKeyBytes = kKeys * kRowBytes;
  static constexpr int kStageBytes = 2 * kBoxes * kKeyBytes;
  static constexpr int kBarriers = 1 + 4 * kStages;
  static constexpr int kSharedTotal = kGroups * kBoxes * kQueryBytes + kStages * kStageBytes + kBarriers * 8 + 1024;
};

struct Problem {
  int query_tiles;
  int queries;
  int keys;
  int heads;
  /** 1 / sqrt(width) in units of log2(e). */
  float scale;
};

template <typename C>
struct Places {
  Shared queries = shared_start();
  Shared stages = queries + C::kGroups * C::kBoxes * C::kQueryBytes;
  Shared barriers = stages + C::kStages * C::kStageBytes;

  __device__ __forceinline__ Shared keys(int stage) const { return stages + stage * C::kStageBytes; }
  __device__ __forceinline__ Shared values(int stage) const { return keys(stage) + C::kBoxes * C::kKeyBytes; }
  __device__ __forceinline__ Shared queries_there() const { return barriers; }
  __device__ __forceinline__ Shared keys_there(int stage) const { return barriers + 8 + stage * 32; }
  __device__ __forceinline__ Shared keys_done(int stage) const { return barriers + 16 + stage * 32; }
  __device__ __forceinline__ Shared values_there(int stage) const { return barriers + 24 + stage * 32; }
  __device__ __forceinline__ Shared values_done(int stage) const { return barriers + 32 + stage * 32; }
};

/** Softmax as it goes along two rows: a lane holds row l / 4 and the one 8 further. */
struct Rows {
  float most[2] = {-INFINITY, -INFINITY};
  float total[2] = {0.0F, 0.0F};
};

/** Scores [64, keys] to powers relative to the rows' largest so far; earlier results count `kept` from now on. */
template <typename C>
__device__ __forceinline__ void take_powers(float (&score)[C::kKeys / 2], float scale, Rows& rows, float (&kept)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float most = rows.most[half];
#pragma unroll
    for (int i = 0; i < C::kKeys / 8; ++i) {
      most = fmaxf(most, fmaxf(score[4 * i + 2 * half], score[4 * i + 2 * half + 1]));
    }
    most = fmaxf(most, __shfl_xor_sync(kWholeWarp, most, 1));
    most = fmaxf(most, __shfl_xor_sync(kWholeWarp, most, 2));
    kept[half] = power_of_two((rows.most[half] - most) * scale);
    rows.most[half] = most;
    const float offset = most * scale;
    float total = rows.total[half] * kept[half];
#pragma unroll
    for (int i = 0; i < C::kKeys / 8; ++i) {
      const float left = score[4 * i + 2 * half] * scale - offset;
      const float right = score[4 * i + 2 * half + 1] * scale - offset;
      float& first = score[4 * i + 2 * half];
      float& second = score[4 * i + 2 * half + 1];
      first = power_of_two(left);
      second = power_of_two(right);
      total += first + second;
    }
    rows.total[half] = total;
  }
}

/** Powers as the left operands of the next product. */
template <typename T, typename C>
__device__ __forceinline__ void pack_powers(const float (&score)[C::kKeys / 2], uint32_t (&power)[C::kKeys / 16][4]) {
#pragma unroll
  for (int i = 0; i < C::kKeys / 4; ++i) {
    power[i / 4][i % 4] = pack_rounded<T>(score[2 * i], score[2 * i + 1]);
  }
}

template <typename T, typename C>
__global__ void __launch_bounds__(C::kThreads, 1)
    attend(const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap k,
           const __grid_constant__ TensorMap v, T* out, Problem problem) {
  const Places<C> places;
  const int tile = static_cast<int>(blockIdx.x % static_cast<unsigned>(problem.query_tiles));
  const int pair = static_cast<int>(blockIdx.x / static_cast<unsigned>(problem.query_tiles));
  const int head = pair % problem.heads;
  const int sample = pair / problem.heads;
  const int group = static_cast<int>(threadIdx.x) / kWarpGroup;
  const int tiles = (problem.keys + C::kKeys - 1) / C::kKeys;
  if (threadIdx.x == 0) {
    start_barrier(places.queries_there(), 1);
    for (int i = 0; i < C::kStages; ++i) {
      start_barrier(places.keys_there(i), 1);
      start_barrier(places.values_there(i), 1);
      start_barrier(places.keys_done(i), C::kGroups);
      start_barrier(places.values_done(i), C::kGroups);
    }
    show_barriers();
  }
  __syncthreads();
  if (group == 0) {
    take_registers<C::kProducerRegisters, false>();
    if (threadIdx.x != 0) return;
    arrive_expecting(places.queries_there(), C::kGroups * C::kBoxes * C::kQueryBytes);
    for (int i = 0; i < C::kGroups; ++i) {
      for (int box = 0; box < C::kBoxes; ++box) {
        load_tile(q, places.queries_there(), places.queries + (i * C::kBoxes + box) * C::kQueryBytes,
                  box * kRowElements, head, (tile * C::kGroups + i) * kGroupQueries, sample);
      }
    }
    for (int step = 0; step < tiles; ++step) {
      const int stage = step % C::kStages;
      const int parity = step / C::kStages % 2;
      wait(places.keys_done(stage), parity ^ 1);
      arrive_expecting(places.keys_there(stage), C::kBoxes * C::kKeyBytes);
      for (int box = 0; box < C::kBoxes; ++box) {
        load_tile(k, places.keys_there(stage), places.keys(stage) + box * C::kKeyBytes, box * kRowElements, head,
                  step * C::kKeys, sample);
      }
      wait(places.values_done(stage), parity ^ 1);
      arrive_expecting(places.values_there(stage), C::kBoxes * C::kKeyBytes);
      for (int box = 0; box < C::kBoxes; ++box) {
        load_tile(v, places.values_there(stage), places.values(stage) + box * C::kKeyBytes, box * kRowElements, head,
                  step * C::kKeys, sample);
      }
    }
    return;
  }
  take_registers<C::kConsumerRegisters, true>();
  const int own = group - 1;
  const bool speaks = threadIdx.x % kWarpGroup == 0;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Shared queries = places.queries + own * C::kBoxes * C::kQueryBytes;
  float score[C::kKeys / 2];
  float result[C::kWidth / 2];
#pragma unroll
  for (float& each : result) each = 0.0F;
  const auto wait_for_keys = [&](int step) { wait(places.keys_there(step % C::kStages), step / C::kStages % 2); };
  const auto wait_for_values = [&](int step) { wait(places.values_there(step % C::kStages), step / C::kStages % 2); };
  const auto start_scores = [&](int step) {
    const Shared keys = places.keys(step % C::kStages);
#pragma unroll
    for (int i = 0; i < (C::kWidth + 15) / 16; ++i) {
      multiply<T>(score, further(matrix_at(queries + i / 4 * C::kQueryBytes), i % 4 * 32),
                  further(matrix_at(keys + i / 4 * C::kKeyBytes), i % 4 * 32), i > 0);
    }
    end_products();
  };
  Rows rows;
  uint32_t power[C::kKeys / 16][4];
  float kept[2];
  const auto finish_scores = [&](int step) {
    pin(score);
    if (speaks) arrive(places.keys_done(step % C::kStages));
    const int left = problem.keys - step * C::kKeys;
    if (left < C::kKeys) {
#pragma unroll
      for (int i = 0; i < C::kKeys / 2; ++i) {
        if (i / 4 * 8 + lane % 4 * 2 + i % 2 >= left) score[i] = -INFINITY;
      }
    }
    take_powers<C>(score, problem.scale, rows, kept);
  };
  const auto start_results = [&](int step) {
    const Shared values = places.values(step % C::kStages);
#pragma unroll
    for (int i = 0; i < C::kKeys / 16; ++i) {
      multiply_held<T>(result, power[i], further(matrix_at(values, C::kKeyBytes), i * 16 * kRowBytes));
    }
    end_products();
  };
  const auto finish_results = [&](int step) {
    wait_for_products<0>();
    pin(result);
    if (speaks) arrive(places.values_done(step % C::kStages));
  };
  wait(places.queries_there(), 0);
  wait_for_keys(0);
  pin(score);
  begin_products();
  start_scores(0);
  wait_for_products<0>();
  finish_scores(0);
  pack_powers<T, C>(score, power);
  for (int step = 0; step + 1 < tiles; ++step) {
    // The powers of the next scores are taken while the values are multiplied with these.
    wait_for_keys(step + 1);
    wait_for_values(step);
    pin(score);
    pin(result);
    begin_products();
    start_scores(step + 1);
    start_results(step);
    wait_for_products<1>();
    finish_scores(step + 1);
    finish_results(step);
#pragma unroll
    for (int i = 0; i < C::kWidth / 2; ++i) result[i] *= kept[i % 4 / 2];
    pack_powers<T, C>(score, power);
  }
  wait_for_values(tiles - 1);
  pin(result);
  begin_products();
  start_results(tiles - 1);
  finish_results(tiles - 1);
  const int first =
      (tile * C::kGroups + own) * kGroupQueries + static_cast<int>(threadIdx.x) % kWarpGroup / kWarp * 16 + lane / 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = rows.total[half];
    total += __shfl_xor_sync(kWholeWarp, total, 1);
    total += __shfl_xor_sync(kWholeWarp, total, 2);
    const float share = 1.0F / total;
    const int row = first + 8 * half;
    if (row >= problem.queries) continue;
    T* const target = out +
                      ((static_cast<int64_t>(sample) * problem.queries + row) * problem.heads + head) * C::kWidth +
                      lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < C::kWidth / 8; ++i) {
      const int at = 4 * i + 2 * half;
      *reinterpret_cast<uint32_t*>(target + 8 * i) = pack_rounded<T>(result[at] * share, result[at + 1] * share);
    }
  }
}

TensorView view_of(Type type, const HeadAttention& call, const HeadsView& heads, int tokens) {
  return {.type = type,
          .data = heads.data,
          .sizes = {call.width, call.heads, heads.tokens, call.batch},
          .strides = {heads.head_stride, heads.token_stride, heads.batch_stride},
          .tile = {kRowElements, 1, tokens, 1}};
}

template <typename T, typename C>
const char* launch_with(Type type, const HeadAttention& call, const Queue& queue) {
  TensorMap q{};
  TensorMap k{};
  TensorMap v{};
  const char* problem = make_tensor_map(view_of(type, call, call.q, kGroupQueries), q);
  if (problem == nullptr) problem = make_tensor_map(view_of(type, call, call.k, C::kKeys), k);
  if (problem == nullptr) problem = make_tensor_map(view_of(type, call, call.v, C::kKeys), v);
  if (problem != nullptr) return problem;
  const auto tiles = static_cast<int>(ceiling(call.q.tokens, C::kGroups * kGroupQueries));
  const Problem sizes{tiles, static_cast<int>(call.q.tokens), static_cast<int>(call.k.tokens), call.heads,
                      1.4426950408889634F / std::sqrt(static_cast<float>(call.width))};
  return launch_clusters(attend<T, C>, tiles * call.heads * call.batch, 1, C::kThreads, C::kSharedTotal, queue, q, k, v,
                         static_cast<T*>(call.out), sizes);
}

using Narrow = Cut<40, 4, 64, 4, 112, 32>;
using Wide = Cut<80, 2, 128, 2, 240, 24>;

}  // namespace

const char* head_attention(Type type, const HeadAttention& call, const Queue& queue) {
  constexpr int64_t kMostTokens = int64_t{1} << 30;
  if ((call.width != 40 && call.width != 80) || call.k.tokens == 0 || call.q.tokens > kMostTokens ||
      call.k.tokens > kMostTokens) {
    return "head_attention takes heads of 40 or 80 elements";
  }
  return with_type(type, [&](auto value) -> const char* {
    using T = decltype(value);
    if constexpr (sizeof(T) == sizeof(float)) return "head_attention takes 16-bit elements";
    else if (call.width == 40) return launch_with<T, Narrow>(type, call, queue);
    else return launch_with<T, Wide>(type, call, queue);
  });
}

}  // namespace animatediff::cuda
