// Attention of one head. Scores of a few queries against some of the keys stay in the cache; where there are more keys,
// the softmax goes on with a running maximum (Milakov & Gimelshein, arXiv 1805.02867). The score matrix of a head is
// never held as a whole.
//
// Both products are those of product.h: scores with the keys transposed, so that sixteen keys are sixteen lanes, and
// outputs with sixteen elements of the head as lanes.
#include "attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "product.h"
#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

// Queries whose scores are held at once: B comes from the outer cache once for all of them.
#ifdef __AMX_BF16__
constexpr int64_t kQueries = 32;
#else
constexpr int64_t kQueries = 24;
#endif
// Keys whose scores are held at once.
constexpr int64_t kBlock = 1024;
// Keys that one tile of outputs runs over before its sums go back to memory.
constexpr int64_t kKeysAtOnce = 512;

// As many elements as lie beside each other on the packed side move at once, where both sides are of one type.
template <typename P, typename T>
void pack_key(const T* row, int64_t width, int64_t lane, typename P::Value* panel) {
  int64_t d = 0;
  if constexpr (std::is_same_v<T, typename P::Value>) {
    for (; d + P::kDepth <= width; d += P::kDepth)
      std::memcpy(panel + P::place(d, lane), row + d, P::kDepth * sizeof(T));
  }
  for (; d < width; ++d) panel[P::place(d, lane)] = P::value(row[d]);
}

// Keys become lanes: panels of sixteen keys by the elements of the head, 0 outside of both.
template <typename P, typename T>
void pack_keys_of(HeadRows<const void*> keys, int64_t width, void* packed) {
  const int64_t depth = padded_depth<P>(width);
  auto* panel = static_cast<typename P::Value*>(packed);
  for (int64_t first = 0; first < keys.count; first += kLanes, panel += depth * kLanes) {
    const int64_t count = std::min(kLanes, keys.count - first);
    if (count < kLanes || width < depth) std::fill_n(panel, depth * kLanes, P::value(0.0F));
    for (int64_t lane = 0; lane < count; ++lane) {
      pack_key<P>(static_cast<const T*>(keys.data) + (first + lane) * keys.stride, width, lane, panel);
    }
  }
}

#ifdef __AVX512BF16__
// Sixteen lanes of two keys, or of one and zeros, as pairs.
void pack_two_values(const BFloat16* first, const BFloat16* second, int64_t lanes, BFloat16* target) {
  const Words low = std::bit_cast<Words>(lanes < kLanes ? load_some(first, lanes) : load(first)) >> 16;
  Words high{};
  if (second != nullptr) high = std::bit_cast<Words>(lanes < kLanes ? load_some(second, lanes) : load(second));
  const Words pairs = low | high;
  std::memcpy(target, &pairs, sizeof(pairs));
}
#endif

// The elements of the head become lanes. The depth of this product are the keys, padded as the first one's lanes are.
template <typename P, typename T>
void pack_values_of(HeadRows<const void*> values, int64_t width, void* packed) {
  const int64_t depth = round_up(values.count, kLanes);
  auto* panel = static_cast<typename P::Value*>(packed);
  for (int64_t first = 0; first < width; first += kLanes, panel += depth * kLanes) {
    const int64_t lanes = std::min(kLanes, width - first);
    if (values.count < depth || lanes < kLanes) std::fill_n(panel, depth * kLanes, P::value(0.0F));
    int64_t key = 0;
#ifdef __AVX512BF16__
    if constexpr (std::is_same_v<P, HalfProducts>) {
      for (; key < values.count; key += 2) {
        const T* const row = static_cast<const T*>(values.data) + key * values.stride + first;
        const T* const next = key + 1 < values.count ? row + values.stride : nullptr;
        pack_two_values(row, next, lanes, panel + P::place(key, 0));
      }
    }
#endif
    for (; key < values.count; ++key) {
      const T* const row = static_cast<const T*>(values.data) + key * values.stride + first;
      typename P::Value* const target = panel + P::place(key, 0);
      for (int64_t lane = 0; lane < lanes; ++lane) target[lane * P::kDepth] = P::value(row[lane]);
    }
  }
}

/** What a row knows of the keys that it has seen. */
struct Seen {
  float most = -std::numeric_limits<float>::infinity();
  float total = 0;
};

/**
 * One row's weights from its scores of some more keys; returns what the sums of the keys before are to be multiplied
 * with. `weights` may be the scores' own memory.
 */
template <typename P>
float softmax(const float* scores, int64_t keys, float scale, typename P::Value* weights, Seen& seen) {
  const int64_t whole = keys / kLanes * kLanes;
  float most = seen.most;
  for (int64_t i = whole; i < keys; ++i) most = std::max(most, scores[i]);
  if (whole > 0) {
    Floats most_lanes = load(scores);
    for (int64_t i = kLanes; i < whole; i += kLanes) most_lanes = larger(most_lanes, load(scores + i));
    most = std::max(most, largest(most_lanes));
  }
  // e^((score - most) scale) as a power of two. An error of the middle term is the same for all keys and cancels.
  constexpr bool kRough = std::is_same_v<typename P::Value, BFloat16>;
  const float factor_of_two = scale * 1.44269504088896341F;
  const float middle = most * factor_of_two;
  Floats total{};
  for (int64_t i = 0; i < whole; i += kLanes) {
    const Floats weight = power_of_two<kRough>(load(scores + i) * factor_of_two - middle);
    total += weight;
    P::put(weights + i, weight);
  }
  if (whole < keys) {
    Floats weight = power_of_two<kRough>(load_some(scores + whole, keys - whole) * factor_of_two - middle);
    for (int64_t i = keys - whole; i < kLanes; ++i) weight[i] = 0;
    total += weight;
    P::put(weights + whole, weight);
  }
  const float factor = seen.total == 0 ? 0 : std::exp((seen.most - most) * scale);
  seen = {most, seen.total * factor + sum(total)};
  return factor;
}

/** Where `attend` keeps what it works on. */
template <typename P>
struct Scratch {
  Scratch(void* memory, int64_t keys, int64_t width)
      : keys(std::min(kBlock, round_up(keys, kLanes))), depth(padded_depth<P>(width)), lanes(round_up(width, kLanes)) {
    scores = static_cast<float*>(memory);
    sums = scores + kQueries * this->keys;
    weights = reinterpret_cast<typename P::Value*>(sums + kQueries * lanes);
    queries = weights + kQueries * this->keys;
  }

  [[nodiscard]] int64_t bytes() const {
    const auto value = static_cast<int64_t>(sizeof(typename P::Value));
    return kQueries * ((keys + lanes) * static_cast<int64_t>(sizeof(float)) + (keys + depth) * value);
  }

  /** Of one block. */
  int64_t keys;
  int64_t depth;
  int64_t lanes;
  float* scores;
  float* sums;
  typename P::Value* weights;
  typename P::Value* queries;
};

template <typename P, typename T>
void copy_query(const T* row, int64_t width, int64_t depth, typename P::Value* target) {
  int64_t d = 0;
  if constexpr (std::is_same_v<T, typename P::Value>) {
    // Heads are mostly a multiple of eight wide: moves of a known size need no call.
    constexpr int64_t kAtOnce = 8;
    for (; d + kAtOnce <= width; d += kAtOnce) std::memcpy(target + d, row + d, kAtOnce * sizeof(T));
  } else {
    for (; d + kLanes <= width; d += kLanes) P::put(target + d, load(row + d));
  }
  for (; d < depth; ++d) target[d] = d < width ? P::value(row[d]) : P::value(0.0F);
}

template <typename T>
void write_output(const float* sums, int64_t width, float factor, T* row) {
  int64_t d = 0;
  for (; d + kLanes <= width; d += kLanes) store(row + d, load(sums + d) * factor);
  if (d < width) store_some(row + d, load(sums + d) * factor, width - d);
}

// Adds what the keys from `first` give to the sums of `rows` queries.
template <typename P>
void attend_to_block(const Scratch<P>& scratch, const PackedHead& head, int64_t first, int64_t rows, float scale,
                     Seen* seen) {
  using Value = typename P::Value;
  const int64_t all = round_up(head.count, kLanes);
  const int64_t padded = std::min(kBlock, all - first);
  multiply<P>(rows, padded / kLanes, scratch.depth, scratch.queries, scratch.depth,
              static_cast<const Value*>(head.keys) + first * scratch.depth, scratch.depth * kLanes, scratch.scores,
              scratch.keys, false);
  for (int64_t row = 0; row < rows; ++row) {
    const float factor = softmax<P>(scratch.scores + row * scratch.keys, std::min(kBlock, head.count - first), scale,
                                    scratch.weights + row * scratch.keys, seen[row]);
    float* const sums = scratch.sums + row * scratch.lanes;
    if (first > 0 && factor != 1) {
      for (int64_t lane = 0; lane < scratch.lanes; lane += kLanes) store(sums + lane, load(sums + lane) * factor);
    }
  }
  for (int64_t key = 0; key < padded; key += kKeysAtOnce) {
    multiply<P>(rows, scratch.lanes / kLanes, std::min(kKeysAtOnce, padded - key), scratch.weights + key, scratch.keys,
                static_cast<const Value*>(head.values) + (first + key) * kLanes, all * kLanes, scratch.sums,
                scratch.lanes, first + key > 0);
  }
}

template <typename P, typename T>
void attend_to(HeadRows<const void*> queries, const PackedHead& head, int64_t width, float scale,
               HeadRows<void*> output, void* memory) {
  const Scratch<P> scratch(memory, head.count, width);
  for (int64_t first = 0; first < queries.count; first += kQueries) {
    const int64_t rows = std::min(kQueries, queries.count - first);
    for (int64_t row = 0; row < rows; ++row) {
      const T* const query = static_cast<const T*>(queries.data) + (first + row) * queries.stride;
      copy_query<P>(query, width, scratch.depth, scratch.queries + row * scratch.depth);
    }
    std::array<Seen, kQueries> seen;
    for (int64_t key = 0; key < head.count; key += kBlock) {
      attend_to_block(scratch, head, key, rows, scale, seen.data());
    }
    for (int64_t row = 0; row < rows; ++row) {
      T* const target = static_cast<T*>(output.data) + (first + row) * output.stride;
      write_output(scratch.sums + row * scratch.lanes, width, 1.0F / seen[row].total, target);
    }
  }
}

template <typename P>
int64_t packed_bytes_of(int64_t count, int64_t width) {
  const int64_t keys = round_up(count, kLanes) * padded_depth<P>(width);
  const int64_t values = round_up(count, kLanes) * round_up(width, kLanes);
  return std::max(keys, values) * static_cast<int64_t>(sizeof(typename P::Value));
}

}  // namespace

int64_t packed_bytes(Element type, int64_t count, int64_t width) {
  return type == Element::kFloat32 ? packed_bytes_of<Singles>(count, width)
                                   : packed_bytes_of<HalfProducts>(count, width);
}

void pack_keys(Element type, HeadRows<const void*> keys, int64_t width, void* packed) {
  if (type == Element::kFloat32) pack_keys_of<Singles, float>(keys, width, packed);
  else pack_keys_of<HalfProducts, BFloat16>(keys, width, packed);
}

void pack_values(Element type, HeadRows<const void*> values, int64_t width, void* packed) {
  if (type == Element::kFloat32) pack_values_of<Singles, float>(values, width, packed);
  else pack_values_of<HalfProducts, BFloat16>(values, width, packed);
}

int64_t attend_scratch(Element type, int64_t keys, int64_t width) {
  return type == Element::kFloat32 ? Scratch<Singles>(nullptr, keys, width).bytes()
                                   : Scratch<HalfProducts>(nullptr, keys, width).bytes();
}

void attend(Element type, HeadRows<const void*> queries, const PackedHead& head, int64_t width, float scale,
            HeadRows<void*> output, void* scratch) {
  if (type == Element::kFloat32) {
    attend_to<Singles, float>(queries, head, width, scale, output, scratch);
    return;
  }
#ifdef __AMX_BF16__
  const TileRegisters registers;
#endif
  attend_to<HalfProducts, BFloat16>(queries, head, width, scale, output, scratch);
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
