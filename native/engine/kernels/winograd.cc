// 3x3 convolution by Winograd's F(4x4, 3x3): Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks"
// (arXiv 1509.09308), section 4.3, whose matrices B, G and A are written out here. Tiles of 6x6 pixels overlap by two
// and give 4x4 pixels each; for each pair of channels they take 36 multiplications, which are 36 products of matrices,
// where the direct way takes 144. All of it is float32, also where pixels and weights are bfloat16.
#include "winograd.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

constexpr int64_t kPatch = 6;
constexpr int64_t kTile = 4;
static_assert(kPatch * kPatch == kWinogradPlaces);

// What the product of matrices keeps in registers: vectors as wide as a register is, or the compiler would spill them.
#if defined(__AVX512F__)
constexpr int kWidth = 16;
constexpr int kRows = 14;
#elif defined(__AVX__)
constexpr int kWidth = 8;
constexpr int kRows = 6;
#else
constexpr int kWidth = 4;
constexpr int kRows = 4;
#endif
constexpr int kVectors = 2;
constexpr int64_t kColumns = kVectors * kWidth;
static_assert(kWinogradOutputs % kColumns == 0);
using Register [[gnu::vector_size(4 * kWidth)]] = float;

using Six = std::array<Floats, 6>;

// B^T x.
inline Six tile_transform(const Six& x) {
  const Floats even = x[4] - 4.0F * x[2];
  const Floats odd = x[3] - 4.0F * x[1];
  const Floats near = x[4] - x[2];
  const Floats far = 2.0F * (x[3] - x[1]);
  return {4.0F * x[0] - 5.0F * x[2] + x[4], even + odd, even - odd, near + far, near - far,
          4.0F * x[1] - 5.0F * x[3] + x[5]};
}

// G x.
inline Six weight_transform(const Floats& a, const Floats& b, const Floats& c) {
  const Floats outer = (a + c) * (-1.0F / 6);
  const Floats middle = b * (1.0F / 6);
  const Floats wide = a * (1.0F / 24) + c * (1.0F / 6);
  const Floats half = b * (1.0F / 12);
  return {a * 0.25F, outer - middle, outer + middle, wide + half, wide - half, c};
}

// A^T x.
inline std::array<Floats, 4> output_transform(const Six& x) {
  const Floats sum1 = x[1] + x[2];
  const Floats difference1 = x[1] - x[2];
  const Floats sum2 = x[3] + x[4];
  const Floats difference2 = x[3] - x[4];
  return {x[0] + sum1 + sum2, difference1 + 2.0F * difference2, sum1 + 4.0F * sum2,
          difference1 + 8.0F * difference2 + x[5]};
}

struct Place {
  int64_t image, y, x;
};

Place place_of(const Convolution3x3& layer, int64_t tile) {
  const int64_t across = (layer.width + kTile - 1) / kTile;
  const int64_t down = (layer.height + kTile - 1) / kTile;
  return {tile / (across * down), tile / across % down * kTile, tile % across * kTile};
}

template <typename T>
void weights_of(const Convolution3x3& layer, int64_t first_output, float* transformed) {
  const auto* const weight = static_cast<const T*>(layer.weight) + first_output;
  const int64_t plane = layer.inputs * kWinogradOutputs;
  for (int64_t input = 0; input < layer.inputs; ++input) {
    for (int64_t lane = 0; lane < kWinogradOutputs; lane += kLanes) {
      const auto at = [&](int64_t row, int64_t column) {
        return load(weight + ((input * 3 + row) * 3 + column) * layer.outputs + lane);
      };
      std::array<Six, 3> columns;
      for (int64_t c = 0; c < 3; ++c) columns[c] = weight_transform(at(0, c), at(1, c), at(2, c));
      float* const target = transformed + input * kWinogradOutputs + lane;
      for (int64_t row = 0; row < kPatch; ++row) {
        const Six values = weight_transform(columns[0][row], columns[1][row], columns[2][row]);
        for (int64_t c = 0; c < kPatch; ++c) store(target + (row * kPatch + c) * plane, values[c]);
      }
    }
  }
}

template <typename T>
void tiles_of(const Convolution3x3& layer, int64_t first_tile, int64_t count, float* transformed) {
  const std::vector<T> outside(static_cast<size_t>(layer.inputs));
  const int64_t stride = winograd_stride(layer);
  const int64_t plane = count * stride;
  for (int64_t i = 0; i < count; ++i, transformed += stride) {
    const Place place = place_of(layer, first_tile + i);
    const T* pixels[kPatch][kPatch];
    for (int64_t row = 0; row < kPatch; ++row) {
      for (int64_t column = 0; column < kPatch; ++column) {
        const int64_t y = place.y + row - 1;
        const int64_t x = place.x + column - 1;
        const bool inside = y >= 0 && y < layer.height && x >= 0 && x < layer.width;
        pixels[row][column] = !inside ? outside.data()
                                      : static_cast<const T*>(layer.x) +
                                            ((place.image * layer.height + y) * layer.width + x) * layer.inputs;
      }
    }
    for (int64_t input = 0; input < layer.inputs; input += kLanes) {
      std::array<Six, kPatch> columns;
      for (int64_t c = 0; c < kPatch; ++c) {
        Six column;
        for (int64_t row = 0; row < kPatch; ++row) column[row] = load(pixels[row][c] + input);
        columns[c] = tile_transform(column);
      }
      for (int64_t row = 0; row < kPatch; ++row) {
        Six values;
        for (int64_t c = 0; c < kPatch; ++c) values[c] = columns[c][row];
        values = tile_transform(values);
        for (int64_t c = 0; c < kPatch; ++c) store(transformed + (row * kPatch + c) * plane + input, values[c]);
      }
    }
  }
}

inline Register load_register(const float* source) {
  Register value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}

// products [Rows, 32] = tiles [Rows, depth] weights [depth, 32], for `kColumns` of the 32 columns.
template <int Rows>
void multiply_rows(const float* tiles, int64_t stride, const float* weights, int64_t depth, float* products) {
  Register sums[Rows][kVectors] = {};
  for (int64_t k = 0; k < depth; ++k, weights += kWinogradOutputs) {
    Register columns[kVectors];
    for (int v = 0; v < kVectors; ++v) columns[v] = load_register(weights + v * kWidth);
    for (int row = 0; row < Rows; ++row) {
      const float value = tiles[row * stride + k];
      for (int v = 0; v < kVectors; ++v) sums[row][v] += value * columns[v];
    }
  }
  for (int row = 0; row < Rows; ++row) {
    for (int v = 0; v < kVectors; ++v) {
      std::memcpy(products + row * kWinogradOutputs + v * kWidth, &sums[row][v], sizeof(Register));
    }
  }
}

using Multiply = void (*)(const float*, int64_t, const float*, int64_t, float*);

template <int... Rows>
constexpr std::array<Multiply, sizeof...(Rows)> multiplies(std::integer_sequence<int, Rows...> /*rows*/) {
  return {multiply_rows<Rows + 1>...};
}

constexpr auto kMultiply = multiplies(std::make_integer_sequence<int, kRows>());

void multiply(const float* tiles, int64_t count, int64_t stride, const float* weights, int64_t depth, float* products) {
  for (int64_t row = 0; row < count; row += kRows) {
    const int64_t rows = count - row < kRows ? count - row : kRows;
    for (int64_t column = 0; column < kWinogradOutputs; column += kColumns) {
      kMultiply[rows - 1](tiles + row * stride, stride, weights + column, depth,
                          products + row * kWinogradOutputs + column);
    }
  }
}

template <typename T>
void write_outputs(const Convolution3x3& layer, int64_t first_tile, int64_t count, int64_t first_output,
                   const float* products, int64_t plane) {
  for (int64_t i = 0; i < count; ++i, products += kWinogradOutputs) {
    const Place place = place_of(layer, first_tile + i);
    const int64_t high = std::min(kTile, layer.height - place.y);
    const int64_t wide = std::min(kTile, layer.width - place.x);
    for (int64_t lane = 0; lane < kWinogradOutputs; lane += kLanes) {
      std::array<std::array<Floats, kTile>, kPatch> columns;
      for (int64_t c = 0; c < kPatch; ++c) {
        Six column;
        for (int64_t row = 0; row < kPatch; ++row) column[row] = load(products + (row * kPatch + c) * plane + lane);
        columns[c] = output_transform(column);
      }
      const Floats bias = layer.bias == nullptr ? Floats{} : load(layer.bias + first_output + lane);
      for (int64_t row = 0; row < high; ++row) {
        Six values;
        for (int64_t c = 0; c < kPatch; ++c) values[c] = columns[c][row];
        const std::array<Floats, kTile> pixels = output_transform(values);
        const int64_t pixel = (place.image * layer.height + place.y + row) * layer.width + place.x;
        for (int64_t c = 0; c < wide; ++c) {
          const int64_t at = (pixel + c) * layer.outputs + first_output + lane;
          Floats value = pixels[c] + bias;
          if (layer.added != nullptr) value += load(static_cast<const T*>(layer.added) + at);
          store(static_cast<T*>(layer.y) + at, value);
        }
      }
    }
  }
}

}  // namespace

void winograd_weights(const Convolution3x3& layer, int64_t first_output, float* transformed) {
  if (layer.type == Element::kFloat32) weights_of<float>(layer, first_output, transformed);
  else weights_of<BFloat16>(layer, first_output, transformed);
}

void winograd_tiles(const Convolution3x3& layer, int64_t first_tile, int64_t count, float* transformed) {
  if (layer.type == Element::kFloat32) tiles_of<float>(layer, first_tile, count, transformed);
  else tiles_of<BFloat16>(layer, first_tile, count, transformed);
}

void winograd_outputs(const Convolution3x3& layer, int64_t first_tile, int64_t count, const float* tiles,
                      int64_t first_output, int64_t panels, const float* weights, float* products) {
  const int64_t stride = winograd_stride(layer);
  const int64_t depth = layer.inputs * kWinogradOutputs;
  const int64_t size = count * kWinogradOutputs;
  // All panels after each other at one place, whose tiles stay in the second cache meanwhile.
  for (int64_t place = 0; place < kWinogradPlaces; ++place) {
    for (int64_t panel = 0; panel < panels; ++panel) {
      multiply(tiles + place * count * stride, count, stride, weights + (panel * kWinogradPlaces + place) * depth,
               layer.inputs, products + (place * panels + panel) * size);
    }
  }
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t output = first_output + panel * kWinogradOutputs;
    if (layer.type == Element::kFloat32) {
      write_outputs<float>(layer, first_tile, count, output, products + panel * size, panels * size);
    } else {
      write_outputs<BFloat16>(layer, first_tile, count, output, products + panel * size, panels * size);
    }
  }
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
