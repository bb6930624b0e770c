// hopper.h on the host. Copies and products are done at once, so a missing wait for products does not show; a barrier
// at which the last does not arrive does, and so does a place in a tile that is computed wrongly.
#pragma once

#include "emulated_cuda.h"

#define __grid_constant__

namespace animatediff::cuda {

using Shared = uint32_t;
using TensorMap = TensorView;

inline const char* make_tensor_map(const TensorView& view, TensorMap& map) {
  map = view;
  for (const int64_t stride : view.strides) {
    if (stride % 16 != 0) return "the copy engine does not take a tensor of these sizes and strides";
  }
  if (view.tile[0] * 2 > kRowBytes) emulated::stop("a row of a tile is too long");
  for (const int size : view.tile) {
    if (size > 256) emulated::stop("a tile is too large");
  }
  return nullptr;
}

template <typename... Parameters>
const char* launch_clusters(void (*kernel)(Parameters...), int64_t blocks, int cluster, int threads,
                            int64_t shared_bytes, const Queue& queue,
                            const std::type_identity_t<Parameters>&... arguments) {
  if (cluster != 1) emulated::stop("blocks run one after another, not in clusters");
  if (shared_bytes > kMostSharedBytes) emulated::stop("too much shared memory");
  return start(kernel, static_cast<unsigned>(blocks), threads, shared_bytes, queue, arguments...);
}

inline Shared shared_start() { return 0; }

template <typename T>
T& in_shared(Shared place) {
  return *reinterpret_cast<T*>(static_cast<char*>(emulated::Block::current().shared()) + place);
}

inline void store_word(Shared target, uint32_t word) { in_shared<uint32_t>(target) = word; }

struct SharedBarrier {
  uint8_t phase;
  uint8_t arrivals;
  uint8_t missing;
  uint8_t unused;
  int32_t bytes;
};

inline void start_barrier(Shared barrier, int arrivals) {
  const auto count = static_cast<uint8_t>(arrivals);
  in_shared<SharedBarrier>(barrier) = {.phase = 0, .arrivals = count, .missing = count, .unused = 0, .bytes = 0};
}

inline void show_barriers() {}

inline void count_at(Shared place, int arrivals, int bytes) {
  auto& barrier = in_shared<SharedBarrier>(place);
  if (barrier.missing < arrivals) emulated::stop("more arrive at a barrier than it waits for");
  barrier.missing = static_cast<uint8_t>(barrier.missing - arrivals);
  barrier.bytes += bytes;
  if (barrier.missing != 0 || barrier.bytes != 0) return;
  barrier.phase ^= 1;
  barrier.missing = barrier.arrivals;
}

inline void arrive(Shared barrier) { count_at(barrier, 1, 0); }
inline void arrive_at(Shared barrier, uint32_t /*rank*/) { count_at(barrier, 1, 0); }
inline void arrive_expecting(Shared barrier, int bytes) { count_at(barrier, 1, bytes); }

inline void wait(Shared barrier, int parity) {
  for (int turns = 0; in_shared<SharedBarrier>(barrier).phase == parity; ++turns) {
    if (turns == 100'000) emulated::stop("nobody ends the phase of a barrier that a thread waits for");
    emulated::Block::current().give_way();
  }
}

inline void meet_cluster() { __syncthreads(); }
inline uint32_t cluster_rank() { return 0; }
inline void meet(int id, int threads) { emulated::Block::current().wait_for(id, threads); }

/** Calls `body` with the place in shared memory and in the tensor, null beyond its edges, of each element of a tile. */
template <typename Body>
void each_element(const TensorMap& map, Shared tile, const int (&first)[4], const Body& body) {
  if (tile % 1024 != 0) emulated::stop("a tile begins at a multiple of 1024 bytes");
  Shared row = 0;
  for (int w = first[3]; w < first[3] + map.tile[3]; ++w) {
    for (int z = first[2]; z < first[2] + map.tile[2]; ++z) {
      for (int y = first[1]; y < first[1] + map.tile[1]; ++y, ++row) {
        for (int x = first[0]; x < first[0] + map.tile[0]; ++x) {
          const bool inside = x < map.sizes[0] && y < map.sizes[1] && z < map.sizes[2] && w < map.sizes[3];
          const int64_t place = int64_t{x} * 2 + y * map.strides[0] + z * map.strides[1] + w * map.strides[2];
          const Shared linear = tile + row * kRowBytes + static_cast<Shared>(x - first[0]) * 2;
          const char* const element = inside ? static_cast<const char*>(map.data) + place : nullptr;
          body(linear ^ ((linear >> 3) & 0x70), reinterpret_cast<const uint16_t*>(element));
        }
      }
    }
  }
}

inline void load_tile(const TensorMap& map, Shared barrier, Shared target, int x, int y, int z = 0, int w = 0) {
  int bytes = 0;
  each_element(map, target, {x, y, z, w}, [&](Shared place, const uint16_t* element) {
    in_shared<uint16_t>(place) = element == nullptr ? uint16_t{0} : *element;
    bytes += 2;
  });
  count_at(barrier, 0, -bytes);
}

inline void load_tile_for(uint16_t /*blocks*/, const TensorMap& map, Shared barrier, Shared target, int x, int y) {
  load_tile(map, barrier, target, x, y);
}

inline void store_tile(const TensorMap& map, Shared source, int x, int y) {
  each_element(map, source, {x, y, 0, 0}, [&](Shared place, const uint16_t* element) {
    if (element != nullptr) *const_cast<uint16_t*>(element) = in_shared<uint16_t>(place);
  });
}

inline void wait_for_stores() {}
inline void show_to_copies() {}
template <int kCount, bool kMore>
void take_registers() {}
inline void begin_products() {}
inline void end_products() {}
// On a device the four warps multiply together.
template <int kRunning>
void wait_for_products() {
  meet(8 + static_cast<int>(threadIdx.x) / kWarpGroup, kWarpGroup);
}
inline float power_of_two(float x) { return std::exp2(x); }
template <int kCount>
void pin(float (&)[kCount]) {}

/** Element of a matrix as hopper.h describes it to the products: of [rows, 16], or of [16, columns]. */
template <typename T>
float element(uint64_t matrix, int row, int k, bool transposed) {
  const auto field = [&](int first) { return static_cast<Shared>((matrix >> first) & 0x3FFF) << 4; };
  if ((matrix >> 62) != 1) emulated::stop("only the swizzle of 128 bytes is known");
  const int tile_row = transposed ? k : row;
  const int column = transposed ? row : k;
  const Shared linear = field(0) + static_cast<Shared>(tile_row / 8) * field(32) +
                        static_cast<Shared>(tile_row % 8 * kRowBytes) + static_cast<Shared>(column / 64) * field(16) +
                        static_cast<Shared>(column % 64 * 2);
  return widen(in_shared<T>(linear ^ ((linear >> 3) & 0x70)));
}

inline int sum_row(int i) {
  const int thread = static_cast<int>(threadIdx.x) % kWarpGroup;
  return thread / kWarp * 16 + thread % kWarp / 4 + i % 4 / 2 * 8;
}
inline int sum_column(int i) { return i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2; }

template <typename T, int kCount>
void multiply(float (&sum)[kCount], uint64_t left, uint64_t right, bool add) {
  for (int i = 0; i < kCount; ++i) {
    float total = add ? sum[i] : 0.0F;
    for (int k = 0; k < 16; ++k) {
      total += element<T>(left, sum_row(i), k, false) * element<T>(right, sum_column(i), k, false);
    }
    sum[i] = total;
  }
}

template <typename T, int kCount>
void multiply_held(float (&sum)[kCount], const uint32_t (&left)[4], uint64_t right) {
  // Rows of the left operand belong to four lanes: they exchange what they hold.
  const auto low = emulated::Block::current().gather({left[0], left[1], 0});
  const auto high = emulated::Block::current().gather({left[2], left[3], 0});
  for (int i = 0; i < kCount; ++i) {
    for (int k = 0; k < 16; ++k) {
      const auto& lanes = k < 8 ? low : high;
      const size_t lane = static_cast<size_t>(sum_row(i) % 8 * 4 + k % 8 / 2);
      T both[2];
      memcpy(both, &lanes[lane][static_cast<size_t>(i % 4 / 2)], sizeof(both));
      sum[i] += widen(both[k % 2]) * element<T>(right, sum_column(i), k, true);
    }
  }
}

}  // namespace animatediff::cuda
