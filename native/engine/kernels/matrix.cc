// Products with a packed matrix. Where the processor has tiles (AMX), a part of one panel and the rows that it meets
// stay in the second-level cache, and what the next step loads is fetched into the first: bench/NOTES.md has
// measurements.
#include "matrix.h"

#include <algorithm>
#include <array>

#include "gelu.h"
#include "product.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

constexpr int64_t kRows = kRowsOfTile;
constexpr int64_t kWidth = kOutputsOfPanel;
constexpr int64_t kStep = kDepthOfStep;
static_assert(kWidth == 2 * kLanes && kRows == kLanes);

// Elements of a panel for one step: two tiles of 16 pairs by 16 outputs.
constexpr int64_t kPanelStep = kStep * kWidth;
// Steps of a panel that are multiplied with all rows before the next ones: 64 KB.
constexpr int64_t kSteps = 32;
// Fewer steps than that are not parted.
constexpr int64_t kMostSteps = 40;
// Panels whose sums are kept while the depth passes in parts.
constexpr int64_t kPanels = 10;
// Sums of two tiles of rows with a panel.
constexpr int64_t kSums = 2 * kRows * kWidth;

int64_t parts_of(int64_t steps) { return steps <= kMostSteps ? 1 : (steps + kSteps - 1) / kSteps; }

// What two tiles of rows, or one, are multiplied with: some steps of a panel.
struct Operands {
  const BFloat16* upper;
  /** Null where there is one tile. */
  const BFloat16* lower;
  int64_t stride;
  const int64_t* steps;
  int64_t count;
  const BFloat16* panel;
};

#ifdef __AMX_BF16__

// Fetches eight rows of a tile, each a line of the first-level cache. `stride` and three times that, in bytes, are all
// that the addresses need: computing each would take more instructions than fetching.
template <int64_t First>
void fetch_rows(const BFloat16* tile, int64_t stride, int64_t three) {
  const char* const row = reinterpret_cast<const char*>(tile) + First * stride;
  asm volatile(
      "prefetcht0 (%0)\n\t"
      "prefetcht0 (%1)\n\t"
      "prefetcht0 (%0,%2,2)\n\t"
      "prefetcht0 (%0,%3)\n\t"
      "prefetcht0 (%0,%2,4)\n\t"
      "prefetcht0 (%1,%2,4)\n\t"
      "prefetcht0 (%0,%3,2)\n\t"
      "prefetcht0 (%1,%3,2)"
      :
      : "r"(row), "r"(row + stride), "r"(stride), "r"(three));
}

// Fetches eight lines of a panel.
template <int64_t First>
void fetch_panel(const BFloat16* panel) {
#pragma GCC unroll 8
  for (int64_t line = First; line < First + 8; ++line) __builtin_prefetch(panel + line * kWidth);
}

template <bool Two>
void add_products_of(const Operands& x, float* sums, bool onto) {
  constexpr int64_t kPairs = 2 * kLanes * sizeof(BFloat16);
  const auto a_bytes = static_cast<int64_t>(x.stride * sizeof(BFloat16));
  const int64_t three = 3 * a_bytes;
  constexpr int64_t kBytes = kWidth * sizeof(float);
  float* const under = sums + kRows * kWidth;
  memory_is_seen();
  if (onto) {
    _tile_loadd(0, sums, kBytes);
    _tile_loadd(1, sums + kLanes, kBytes);
    if constexpr (Two) {
      _tile_loadd(2, under, kBytes);
      _tile_loadd(3, under + kLanes, kBytes);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (Two) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }
  const BFloat16* b = x.panel;
  for (int64_t step = 0; step < x.count; ++step, b += kPanelStep) {
    const int64_t at = x.steps[step];
    // The order matters: what is fetched for the next step lies evenly between loads and products of this one.
    const int64_t next = x.steps[std::min(step + 1, x.count - 1)];
    const BFloat16* const next_b = b + kPanelStep;
    _tile_loadd(4, x.upper + at, a_bytes);
    fetch_rows<0>(x.upper + next, a_bytes, three);
    _tile_loadd(6, b, kPairs);
    fetch_panel<0>(next_b);
    _tile_dpbf16ps(0, 4, 6);
    fetch_rows<8>(x.upper + next, a_bytes, three);
    fetch_panel<8>(next_b);
    _tile_loadd(7, b + kPanelStep / 2, kPairs);
    fetch_panel<16>(next_b);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (Two) {
      fetch_rows<0>(x.lower + next, a_bytes, three);
      _tile_loadd(5, x.lower + at, a_bytes);
    }
    fetch_panel<24>(next_b);
    if constexpr (Two) {
      _tile_dpbf16ps(2, 5, 6);
      fetch_rows<8>(x.lower + next, a_bytes, three);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, kBytes);
  _tile_stored(1, sums + kLanes, kBytes);
  if constexpr (Two) {
    _tile_stored(2, under, kBytes);
    _tile_stored(3, under + kLanes, kBytes);
  }
  memory_is_seen();
}

#elif defined(__AVX512BF16__)

// What is kept in registers at a time: the sums of so many rows with two panels.
constexpr int64_t kRowsAtOnce = 6;
constexpr int64_t kPanelsAtOnce = 2;

// Sums of rows of `a` with panels of so many steps, or added to them.
template <int64_t Rows, int64_t Count>
void add_pairs(const BFloat16* a, int64_t stride, const Panels& panels, const int64_t* places, float* sums,
               int64_t sums_stride, bool onto) {
  std::array<std::array<Floats, 2 * Count>, Rows> result;
  const auto for_all = [&](auto work) {
#pragma GCC unroll 6
    for (int64_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 4
      for (int64_t column = 0; column < 2 * Count; ++column) work(result[row][column], row, column / 2, column % 2);
    }
  };
  for_all([&](Floats& sum, int64_t row, int64_t panel, int64_t half) {
    sum = onto ? load(sums + panel * sums_stride + row * kWidth + half * kLanes) : Floats{};
  });
  const BFloat16* b = panels.data;
  for (int64_t step = 0; step < panels.steps; ++step, b += kPanelStep) {
    for (int64_t depth = 0; depth < kStep; depth += Pairs::kDepth) {
      const BFloat16* const from = a + places[step] + depth;
      for_all([&](Floats& sum, int64_t row, int64_t panel, int64_t half) {
        const BFloat16* const pairs = b + panel * panels.stride + half * kPanelStep / 2 + depth * kLanes;
        sum = Pairs::multiply(sum, from + row * stride, pairs);
      });
    }
  }
  for_all([&](const Floats& sum, int64_t row, int64_t panel, int64_t half) {
    store(sums + panel * sums_stride + row * kWidth + half * kLanes, sum);
  });
}

template <int64_t Count>
void add_pairs_of_rows(int64_t rows, const BFloat16* a, int64_t stride, const Panels& panels, const int64_t* places,
                       float* sums, int64_t sums_stride, bool onto) {
  int64_t row = 0;
  for (; row + kRowsAtOnce <= rows; row += kRowsAtOnce) {
    add_pairs<kRowsAtOnce, Count>(a + row * stride, stride, panels, places, sums + row * kWidth, sums_stride, onto);
  }
  // Of whole tiles an even number of rows is left.
  for (; row + 4 <= rows; row += 4) {
    add_pairs<4, Count>(a + row * stride, stride, panels, places, sums + row * kWidth, sums_stride, onto);
  }
  for (; row < rows; row += 2) {
    add_pairs<2, Count>(a + row * stride, stride, panels, places, sums + row * kWidth, sums_stride, onto);
  }
}

template <bool Two>
void add_products_of(const Operands& x, float* sums, bool onto) {
  const Panels panel{x.panel, 0, 1, x.count};
  add_pairs_of_rows<1>(kRows, x.upper, x.stride, panel, x.steps, sums, 0, onto);
  if constexpr (Two) add_pairs_of_rows<1>(kRows, x.lower, x.stride, panel, x.steps, sums + kRows * kWidth, 0, onto);
}

#else

template <bool Two>
void add_products_of(const Operands& x, float* sums, bool onto) {
  constexpr int64_t kCount = Two ? 2 * kRows : kRows;
  for (int64_t row = 0; row < kCount; ++row, sums += kWidth) {
    const BFloat16* const a = row < kRows ? x.upper + row * x.stride : x.lower + (row - kRows) * x.stride;
    for (int64_t half = 0; half < 2; ++half) {
      Floats sum = onto ? load(sums + half * kLanes) : Floats{};
      for (int64_t step = 0; step < x.count; ++step) {
        const BFloat16* const b = x.panel + step * kPanelStep + half * kPanelStep / 2;
        for (int64_t depth = 0; depth < kStep; ++depth) {
          Floats lanes;
          for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] = one(b + place_in_tile(depth, lane));
          sum += lanes * one(a + x.steps[step] + depth);
        }
      }
      store(sums + half * kLanes, sum);
    }
  }
}

#endif

void add_products(const Operands& x, float* sums, bool onto) {
  if (x.lower != nullptr) add_products_of<true>(x, sums, onto);
  else add_products_of<false>(x, sums, onto);
}

// Fetches what `finish` writes, so that the products hide the wait for it.
void fetch_outputs(const TiledProduct& product, const RowTile& tile, int64_t panel) {
  const int64_t width = product.gated ? product.outputs / 2 : product.outputs;
  const int64_t first = panel * (product.gated ? kLanes : kWidth);
  const auto* const y = static_cast<const BFloat16*>(product.y) + first;
  for (int64_t row = tile.output; row < tile.output + tile.count; ++row) __builtin_prefetch(y + row * width, 1);
}

// A gate's panel: 16 values and their gates.
void finish_gated(const TiledProduct& product, const RowTile& tile, int64_t panel, const float* sums) {
  const int64_t first = panel * kLanes;
  const float* const bias = product.bias;
  const Floats value_bias = bias != nullptr ? load(bias + first) : Floats{};
  const Floats gate_bias = bias != nullptr ? load(bias + product.outputs / 2 + first) : Floats{};
  auto* y = static_cast<BFloat16*>(product.y) + tile.output * product.outputs / 2 + first;
  for (int64_t row = 0; row < tile.count; ++row, sums += kWidth, y += product.outputs / 2) {
    store(y, gated(load(sums) + value_bias, load(sums + kLanes) + gate_bias));
  }
}

// Sums of a tile plus bias and what is added, rounded once.
void finish(const TiledProduct& product, const RowTile& tile, int64_t panel, const float* sums) {
  if (product.gated) return finish_gated(product, tile, panel, sums);
  const int64_t first = panel * kWidth;
  const float* const bias = product.bias;
  const Floats low = bias != nullptr ? load(bias + first) : Floats{};
  const Floats high = bias != nullptr ? load(bias + first + kLanes) : Floats{};
  for (int64_t row = 0; row < tile.count; ++row, sums += kWidth) {
    const int64_t at = (tile.output + row) * product.outputs + first;
    Floats left = load(sums) + low;
    Floats right = load(sums + kLanes) + high;
    if (product.added != nullptr) {
      const auto* const added = static_cast<const BFloat16*>(product.added) + at;
      left += load(added);
      right += load(added + kLanes);
    }
    auto* const y = static_cast<BFloat16*>(product.y) + at;
    store(y, left);
    store(y + kLanes, right);
  }
}

// Adds some steps of a panel to the sums of a tile of rows, or of two; writes y behind the last step.
void multiply_tiles_with_panel(const TiledProduct& product, const RowTile* rows, int64_t tiles, int64_t panel,
                               int64_t begin, int64_t count, float* sums) {
  const bool last = begin + count == product.steps;
  for (int64_t tile = 0; last && tile < tiles; ++tile) fetch_outputs(product, rows[tile], panel);
  add_products(
      {static_cast<const BFloat16*>(rows[0].data), tiles > 1 ? static_cast<const BFloat16*>(rows[1].data) : nullptr,
       product.stride, product.places + begin, count,
       static_cast<const BFloat16*>(product.weight) + (panel * product.steps + begin) * kPanelStep},
      sums, begin > 0);
  for (int64_t tile = 0; last && tile < tiles; ++tile) finish(product, rows[tile], panel, sums + tile * kRows * kWidth);
}

}  // namespace

int64_t product_scratch(const TiledProduct& product, int64_t tiles) {
  const int64_t kept = parts_of(product.steps) == 1 ? 1 : (tiles + 1) / 2 * std::min(kPanels, product.outputs / kWidth);
  return kept * kSums * static_cast<int64_t>(sizeof(float));
}

void multiply_rows(const TiledProduct& product, const RowTile* rows, int64_t tiles, void* scratch) {
  const TileRegisters registers;
  auto* const sums = static_cast<float*>(scratch);
  const int64_t parts = parts_of(product.steps);
  const int64_t each = (product.steps + parts - 1) / parts;
  const int64_t panels = product.outputs / kWidth;
  const int64_t pairs = (tiles + 1) / 2;
  for (int64_t group = 0; group < panels; group += kPanels) {
    const int64_t last = std::min(group + kPanels, panels);
    for (int64_t begin = 0; begin < product.steps; begin += each) {
      const int64_t count = std::min(each, product.steps - begin);
      for (int64_t panel = group; panel < last; ++panel) {
        for (int64_t tile = 0; tile < tiles; tile += 2) {
          const int64_t kept = parts == 1 ? 0 : (panel - group) * pairs + tile / 2;
          multiply_tiles_with_panel(product, rows + tile, std::min<int64_t>(2, tiles - tile), panel, begin, count,
                                    sums + kept * kSums);
        }
      }
    }
  }
}

#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)

void multiply_with_panels(const BFloat16* x, int64_t rows, int64_t stride, const Panels& panels, const int64_t* places,
                          float* sums, int64_t sums_stride) {
  for (int64_t panel = 0; panel < panels.count; panel += kPanelsAtOnce) {
    const Panels some{panels.data + panel * panels.stride, panels.stride, kPanelsAtOnce, panels.steps};
    float* const to = sums + panel * sums_stride;
    if (panel + 1 < panels.count) add_pairs_of_rows<2>(rows, x, stride, some, places, to, sums_stride, false);
    else add_pairs_of_rows<1>(rows, x, stride, some, places, to, sums_stride, false);
  }
}

#else

void multiply_with_panels(const BFloat16* x, int64_t rows, int64_t stride, const Panels& panels, const int64_t* places,
                          float* sums, int64_t sums_stride) {
  for (int64_t panel = 0; panel < panels.count; ++panel) {
    const BFloat16* from = x;
    float* to = sums + panel * sums_stride;
    for (int64_t row = 0; row < rows; row += 2 * kRows, from += 2 * kRows * stride, to += kSums) {
      const bool two = row + kRows < rows;
      // Products hide the wait for the lines that sums are written to.
      for (int64_t line = 0; line < (two ? kSums : kSums / 2); line += kLanes) __builtin_prefetch(to + line, 1);
      add_products({from, two ? from + kRows * stride : nullptr, stride, places, panels.steps,
                    panels.data + panel * panels.stride},
                   to, false);
    }
  }
}

#endif

}  // namespace animatediff::ANIMATEDIFF_KERNELS
