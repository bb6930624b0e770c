// Attention of one head. Scores of a few queries against some of the keys stay in the cache; where there are more keys,
// the softmax goes on with a running maximum (Milakov & Gimelshein, arXiv 1805.02867). The score matrix of a head is
// never held as a whole.
//
// Both products are the same loop, C[row, lane] += A[row, depth] * B[depth, lane]: scores with the keys transposed, so
// that sixteen keys are sixteen lanes, and outputs with sixteen elements of the head as lanes. Where the processor
// multiplies pairs of bfloat16, A and B hold such pairs along the depth, and where it multiplies tiles of them (AMX)
// the same B is read tile by tile; elsewhere both are float32.
#include "attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

// Registers: kTileRows * kTileColumns sums and one row of B, sixteen lanes each.
#if defined(__AVX512F__)
constexpr int64_t kTileRows = 6;
constexpr int64_t kTileColumns = 4;
#elif defined(__AVX__)
constexpr int64_t kTileRows = 6;
constexpr int64_t kTileColumns = 1;
#else
constexpr int64_t kTileRows = 2;
constexpr int64_t kTileColumns = 1;
#endif
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

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

/** What the products multiply: float32 one by one. */
struct Singles {
  using Value = float;
  static constexpr int64_t kDepth = 1;
  /** The head's elements are padded to a multiple of this. */
  static constexpr int64_t kWhole = 1;
  static int64_t place(int64_t depth, int64_t lane) { return depth * kLanes + lane; }
  static Value value(float source) { return source; }
  static Value value(BFloat16 source) { return one(&source); }
  static void put(Value* target, Floats value) { store(target, value); }
  static Floats multiply(Floats sum, const Value* a, const Value* b) { return sum + load(b) * *a; }
};

#ifdef __AVX512BF16__
/** bfloat16 two by two. */
struct Pairs {
  using Value = BFloat16;
  static constexpr int64_t kDepth = 2;
  static constexpr int64_t kWhole = 2;
  static int64_t place(int64_t depth, int64_t lane) { return depth / 2 * 2 * kLanes + 2 * lane + depth % 2; }
  static Value value(float source) {
    Value result[kLanes];
    store(result, broadcast(source));
    return result[0];
  }
  static Value value(BFloat16 source) { return source; }
  static void put(Value* target, Floats value) { store(target, value); }
  static Floats multiply(Floats sum, const Value* a, const Value* b) {
    int32_t pair;
    std::memcpy(&pair, a, sizeof(pair));
    __m512bh lanes;
    std::memcpy(&lanes, b, sizeof(lanes));
    return std::bit_cast<Floats>(
        _mm512_dpbf16_ps(std::bit_cast<__m512>(sum), std::bit_cast<__m512bh>(_mm512_set1_epi32(pair)), lanes));
  }
};
#ifdef __AMX_BF16__
/** Pairs in tiles of 16 rows of A or 16 lanes of B by a depth of 32. */
struct Tiles : Pairs {
  static constexpr int64_t kWhole = 32;
};
using HalfProducts = Tiles;
#else
using HalfProducts = Pairs;
#endif
#else
using HalfProducts = Singles;
#endif

template <typename P>
int64_t padded_depth(int64_t depth) {
  return round_up(depth, P::kWhole);
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
      const T* const row = static_cast<const T*>(keys.data) + (first + lane) * keys.stride;
      for (int64_t d = 0; d < width; ++d) panel[P::place(d, lane)] = P::value(row[d]);
    }
  }
}

// The elements of the head become lanes. The depth of this product are the keys, padded as the first one's lanes are.
template <typename P, typename T>
void pack_values_of(HeadRows<const void*> values, int64_t width, void* packed) {
  const int64_t depth = round_up(values.count, kLanes);
  auto* panel = static_cast<typename P::Value*>(packed);
  for (int64_t first = 0; first < width; first += kLanes, panel += depth * kLanes) {
    const int64_t lanes = std::min(kLanes, width - first);
    if (values.count < depth || lanes < kLanes) std::fill_n(panel, depth * kLanes, P::value(0.0F));
    for (int64_t key = 0; key < values.count; ++key) {
      const T* const row = static_cast<const T*>(values.data) + key * values.stride + first;
      typename P::Value* const target = panel + P::place(key, 0);
      for (int64_t lane = 0; lane < lanes; ++lane) target[lane * P::kDepth] = P::value(row[lane]);
    }
  }
}

/** A [rows, depth] times `Columns` panels of B into C, or onto it. */
template <typename P, int64_t Rows, int64_t Columns>
void tile(const typename P::Value* a, int64_t a_stride, const typename P::Value* b, int64_t b_stride, int64_t depth,
          float* c, int64_t c_stride, bool onto) {
  std::array<std::array<Floats, Columns>, Rows> sums;
  for (int64_t row = 0; row < Rows; ++row) {
    for (int64_t column = 0; column < Columns; ++column) {
      sums[row][column] = onto ? load(c + row * c_stride + column * kLanes) : Floats{};
    }
  }
  for (int64_t d = 0; d < depth; d += P::kDepth) {
#pragma GCC unroll 8
    for (int64_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
      for (int64_t column = 0; column < Columns; ++column) {
        sums[row][column] = P::multiply(sums[row][column], a + row * a_stride + d, b + column * b_stride + d * kLanes);
      }
    }
  }
  for (int64_t row = 0; row < Rows; ++row) {
    for (int64_t column = 0; column < Columns; ++column) store(c + row * c_stride + column * kLanes, sums[row][column]);
  }
}

template <typename P, int64_t Columns>
void tile_of_rows(int64_t rows, const typename P::Value* a, int64_t a_stride, const typename P::Value* b,
                  int64_t b_stride, int64_t depth, float* c, int64_t c_stride, bool onto) {
  switch (rows) {
    case 1: return tile<P, 1, Columns>(a, a_stride, b, b_stride, depth, c, c_stride, onto);
    case 2: return tile<P, 2, Columns>(a, a_stride, b, b_stride, depth, c, c_stride, onto);
    case 3: return tile<P, 3, Columns>(a, a_stride, b, b_stride, depth, c, c_stride, onto);
    case 4: return tile<P, 4, Columns>(a, a_stride, b, b_stride, depth, c, c_stride, onto);
    case 5: return tile<P, 5, Columns>(a, a_stride, b, b_stride, depth, c, c_stride, onto);
    default: return tile<P, kTileRows, Columns>(a, a_stride, b, b_stride, depth, c, c_stride, onto);
  }
}

/** C [rows, 16 * panels] = A [rows, depth] B, or added to C. Panels of B are `b_stride` elements apart. */
template <typename P>
void multiply(int64_t rows, int64_t panels, int64_t depth, const typename P::Value* a, int64_t a_stride,
              const typename P::Value* b, int64_t b_stride, float* c, int64_t c_stride, bool onto) {
  for (int64_t panel = 0; panel < panels; panel += kTileColumns) {
    const typename P::Value* const from = b + panel * b_stride;
    for (int64_t row = 0; row < rows; row += kTileRows) {
      const int64_t count = std::min(kTileRows, rows - row);
      const typename P::Value* const left = a + row * a_stride;
      float* const to = c + row * c_stride + panel * kLanes;
      switch (std::min(kTileColumns, panels - panel)) {
        case 1: tile_of_rows<P, 1>(count, left, a_stride, from, b_stride, depth, to, c_stride, onto); break;
        case 2: tile_of_rows<P, 2>(count, left, a_stride, from, b_stride, depth, to, c_stride, onto); break;
        case 3: tile_of_rows<P, 3>(count, left, a_stride, from, b_stride, depth, to, c_stride, onto); break;
        default: tile_of_rows<P, kTileColumns>(count, left, a_stride, from, b_stride, depth, to, c_stride, onto);
      }
    }
  }
}

#ifdef __AMX_BF16__
constexpr int64_t kTile = 16;

/** Registers 0 to 3 are sums, 4 and 5 rows of A, 6 and 7 panels of B; all are 16 rows of 64 bytes. */
class TileRegisters {
 public:
  TileRegisters() {
    struct alignas(64) Configuration {
      uint8_t palette = 1;
      uint8_t start = 0;
      uint8_t reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    const Configuration configuration;
    static_assert(sizeof(configuration) == 64);
    _tile_loadconfig(&configuration);
  }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
  ~TileRegisters() { _tile_release(); }
};

// The compiler does not know that the instructions for tiles read and write memory.
inline void memory_is_seen() { asm volatile("" ::: "memory"); }

/** `Rows` by `Columns` tiles of sums: 16 rows of A and a panel of B each. */
template <int Rows, int Columns>
void multiply_tiles(const BFloat16* a, int64_t a_stride, const BFloat16* b, int64_t b_stride, int64_t depth, float* c,
                    int64_t c_stride, bool onto) {
  constexpr int64_t kPairs = 2 * kLanes * sizeof(BFloat16);
  const auto a_bytes = static_cast<int64_t>(a_stride * sizeof(BFloat16));
  const auto c_bytes = static_cast<int64_t>(c_stride * sizeof(float));
  float* const lower = c + kTile * c_stride;
  memory_is_seen();
  if (onto) {
    _tile_loadd(0, c, c_bytes);
    if constexpr (Columns > 1) _tile_loadd(1, c + kLanes, c_bytes);
    if constexpr (Rows > 1) _tile_loadd(2, lower, c_bytes);
    if constexpr (Rows > 1 && Columns > 1) _tile_loadd(3, lower + kLanes, c_bytes);
  } else {
    _tile_zero(0);
    if constexpr (Columns > 1) _tile_zero(1);
    if constexpr (Rows > 1) _tile_zero(2);
    if constexpr (Rows > 1 && Columns > 1) _tile_zero(3);
  }
  for (int64_t d = 0; d < depth; d += Tiles::kWhole) {
    _tile_loadd(4, a + d, a_bytes);
    _tile_loadd(6, b + d * kLanes, kPairs);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (Rows > 1) {
      _tile_loadd(5, a + kTile * a_stride + d, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (Columns > 1) {
      _tile_loadd(7, b + b_stride + d * kLanes, kPairs);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (Rows > 1 && Columns > 1) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, c_bytes);
  if constexpr (Columns > 1) _tile_stored(1, c + kLanes, c_bytes);
  if constexpr (Rows > 1) _tile_stored(2, lower, c_bytes);
  if constexpr (Rows > 1 && Columns > 1) _tile_stored(3, lower + kLanes, c_bytes);
  memory_is_seen();
}

template <int Rows>
void multiply_tile_rows(int64_t panels, int64_t depth, const BFloat16* a, int64_t a_stride, const BFloat16* b,
                        int64_t b_stride, float* c, int64_t c_stride, bool onto) {
  int64_t panel = 0;
  for (; panel + 2 <= panels; panel += 2) {
    multiply_tiles<Rows, 2>(a, a_stride, b + panel * b_stride, b_stride, depth, c + panel * kLanes, c_stride, onto);
  }
  if (panel < panels) {
    multiply_tiles<Rows, 1>(a, a_stride, b + panel * b_stride, b_stride, depth, c + panel * kLanes, c_stride, onto);
  }
}

// Whole tiles, and what is left of rows and of the depth in pairs.
template <>
void multiply<Tiles>(int64_t rows, int64_t panels, int64_t depth, const BFloat16* a, int64_t a_stride,
                     const BFloat16* b, int64_t b_stride, float* c, int64_t c_stride, bool onto) {
  const int64_t whole_depth = depth / Tiles::kWhole * Tiles::kWhole;
  const int64_t whole_rows = whole_depth > 0 ? rows / kTile * kTile : 0;
  int64_t row = 0;
  for (; row + 2 * kTile <= whole_rows; row += 2 * kTile) {
    multiply_tile_rows<2>(panels, whole_depth, a + row * a_stride, a_stride, b, b_stride, c + row * c_stride, c_stride,
                          onto);
  }
  if (row < whole_rows) {
    multiply_tile_rows<1>(panels, whole_depth, a + row * a_stride, a_stride, b, b_stride, c + row * c_stride, c_stride,
                          onto);
  }
  if (whole_rows > 0 && whole_depth < depth) {
    multiply<Pairs>(whole_rows, panels, depth - whole_depth, a + whole_depth, a_stride, b + whole_depth * kLanes,
                    b_stride, c, c_stride, true);
  }
  if (whole_rows < rows) {
    multiply<Pairs>(rows - whole_rows, panels, depth, a + whole_rows * a_stride, a_stride, b, b_stride,
                    c + whole_rows * c_stride, c_stride, onto);
  }
}
#endif

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
  for (; d + kLanes <= width; d += kLanes) P::put(target + d, load(row + d));
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
