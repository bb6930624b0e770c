// Products of small matrices whose right side is packed: C[row, lane] += A[row, depth] * B[depth, lane], sixteen lanes
// to a panel of B. Where the processor multiplies pairs of bfloat16, A and B hold such pairs along the depth, and where
// it multiplies tiles of them (AMX) the same B is read tile by tile; elsewhere both are float32.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

// Registers: kTileRows * kTileColumns sums and one row of B, sixteen lanes each.
#if defined(__AVX512F__)
inline constexpr int64_t kTileRows = 6;
inline constexpr int64_t kTileColumns = 4;
#elif defined(__AVX__)
inline constexpr int64_t kTileRows = 6;
inline constexpr int64_t kTileColumns = 1;
#else
inline constexpr int64_t kTileRows = 2;
inline constexpr int64_t kTileColumns = 1;
#endif
inline int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

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
  static Register multiply(Register sum, const Value* a, const Value* b) { return sum + load_register(b) * *a; }
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
  static Register multiply(Register sum, const Value* a, const Value* b) {
    int32_t pair;
    std::memcpy(&pair, a, sizeof(pair));
    __m512bh lanes;
    std::memcpy(&lanes, b, sizeof(lanes));
    return std::bit_cast<Register>(
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

/** A [rows, depth] times `Columns` panels of B into C, or onto it. */
template <typename P, int64_t Rows, int64_t Columns>
void tile(const typename P::Value* a, int64_t a_stride, const typename P::Value* b, int64_t b_stride, int64_t depth,
          float* c, int64_t c_stride, bool onto) {
  constexpr int64_t kParts = kLanes / kRegisterLanes;
  constexpr int64_t kAcross = Columns * kParts;
  std::array<std::array<Register, kAcross>, Rows> sums;
#pragma GCC unroll 8
  for (int64_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < kAcross; ++i) {
      sums[row][i] = onto ? load_register(c + row * c_stride + i * kRegisterLanes) : Register{};
    }
  }
  for (int64_t d = 0; d < depth; d += P::kDepth) {
#pragma GCC unroll 8
    for (int64_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 16
      for (int64_t i = 0; i < kAcross; ++i) {
        const typename P::Value* const panel = b + i / kParts * b_stride + d * kLanes;
        sums[row][i] = P::multiply(sums[row][i], a + row * a_stride + d, panel + i % kParts * kRegisterLanes);
      }
    }
  }
#pragma GCC unroll 8
  for (int64_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < kAcross; ++i) store_register(c + row * c_stride + i * kRegisterLanes, sums[row][i]);
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
inline constexpr int64_t kTile = 16;

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
inline void multiply<Tiles>(int64_t rows, int64_t panels, int64_t depth, const BFloat16* a, int64_t a_stride,
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
#else
struct TileRegisters {
  TileRegisters() {}
};
#endif

}  // namespace animatediff::ANIMATEDIFF_KERNELS
