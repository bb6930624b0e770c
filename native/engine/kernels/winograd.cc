// 3x3 convolution by Winograd's F(4x4, 3x3). Tiles of 6x6 pixels overlap by two and give 4x4 pixels each; for each pair
// of channels they take 36 multiplications, which are 36 products of matrices, where the direct way takes 144. Where x
// is doubled, each of the four parts of y is a 2x2 convolution of x itself, whose kernel has sums of the weights that
// fall on the same pixel: F(4x4, 2x2), with tiles of 5x5 pixels and 25 products. All of it is float32, also where
// pixels and weights are bfloat16.
#include "winograd.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "picture.h"
#include "vector.h"
#include "winograd_transforms.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

constexpr int64_t kTile = 4;

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

// Three weights of a row or a column of the kernel, transformed. Of two pixels of the doubled x that are one pixel of
// x, an even row of y has the later two weights on one, an odd row the first two.
template <size_t Patch>
inline std::array<Floats, Patch> weights_transform(const Floats& a, const Floats& b, const Floats& c, bool odd) {
  if constexpr (Patch == 6) return weight_transform(a, b, c);
  else return odd ? weight_transform(a + b, c) : weight_transform(a, b + c);
}

template <typename T, size_t Patch>
void weights_of(const Convolution3x3& layer, int64_t first_output, float* transformed) {
  const auto* const weight = static_cast<const T*>(layer.weight) + first_output;
  const int64_t plane = layer.inputs * kWinogradOutputs;
  for (int64_t input = 0; input < layer.inputs; ++input) {
    for (int64_t lane = 0; lane < kWinogradOutputs; lane += kLanes) {
      const auto at = [&](int64_t row, int64_t column) {
        return load(weight + ((input * 3 + row) * 3 + column) * layer.outputs + lane);
      };
      std::array<std::array<Floats, Patch>, 3> columns;
      for (int64_t c = 0; c < 3; ++c) {
        columns[c] = weights_transform<Patch>(at(0, c), at(1, c), at(2, c), odd_rows(layer));
      }
      float* target = transformed + input * kWinogradOutputs + lane;
      for (size_t row = 0; row < Patch; ++row) {
        const auto values =
            weights_transform<Patch>(columns[0][row], columns[1][row], columns[2][row], odd_columns(layer));
        for (size_t c = 0; c < Patch; ++c, target += plane) store(target, values[c]);
      }
    }
  }
}

template <typename T, size_t Patch>
void tiles_of(const Convolution3x3& layer, int64_t first_tile, int64_t count, float* transformed) {
  const std::vector<T> outside(static_cast<size_t>(layer.inputs));
  const int64_t stride = winograd_stride(layer);
  const int64_t plane = count * stride;
  for (int64_t i = 0; i < count; ++i, transformed += stride) {
    const Place corner = seen_from(layer, place_of<kTile>(layer, first_tile + i));
    const T* pixels[Patch][Patch];
    for (size_t row = 0; row < Patch; ++row) {
      for (size_t column = 0; column < Patch; ++column) {
        const int64_t pixel = seen_pixel(layer, corner.image, corner.y + static_cast<int64_t>(row),
                                         corner.x + static_cast<int64_t>(column));
        pixels[row][column] = pixel < 0 ? outside.data() : static_cast<const T*>(layer.x) + pixel * layer.inputs;
      }
    }
    for (int64_t input = 0; input < layer.inputs; input += kLanes) {
      std::array<std::array<Floats, Patch>, Patch> columns;
      for (size_t c = 0; c < Patch; ++c) {
        std::array<Floats, Patch> column;
        for (size_t row = 0; row < Patch; ++row) column[row] = load(pixels[row][c] + input);
        columns[c] = tile_transform(column);
      }
      float* target = transformed + input;
      for (size_t row = 0; row < Patch; ++row) {
        std::array<Floats, Patch> values;
        for (size_t c = 0; c < Patch; ++c) values[c] = columns[c][row];
        values = tile_transform(values);
        for (size_t c = 0; c < Patch; ++c, target += plane) store(target, values[c]);
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

template <typename T, size_t Patch>
void write_outputs(const Convolution3x3& layer, int64_t first_tile, int64_t count, int64_t first_output,
                   const float* products, int64_t plane) {
  for (int64_t i = 0; i < count; ++i, products += kWinogradOutputs) {
    const Place place = place_of<kTile>(layer, first_tile + i);
    const int64_t high = std::min(kTile, layer.height - place.y);
    const int64_t wide = std::min(kTile, layer.width - place.x);
    for (int64_t lane = 0; lane < kWinogradOutputs; lane += kLanes) {
      std::array<std::array<Floats, kTile>, Patch> columns;
      for (size_t c = 0; c < Patch; ++c) {
        std::array<Floats, Patch> column;
        for (size_t row = 0; row < Patch; ++row) {
          column[row] = load(products + static_cast<int64_t>(row * Patch + c) * plane + lane);
        }
        columns[c] = output_transform(column);
      }
      const Floats bias = layer.bias == nullptr ? Floats{} : load(layer.bias + first_output + lane);
      for (int64_t row = 0; row < high; ++row) {
        std::array<Floats, Patch> values;
        for (size_t c = 0; c < Patch; ++c) values[c] = columns[c][row];
        const std::array<Floats, kTile> pixels = output_transform(values);
        for (int64_t c = 0; c < wide; ++c) {
          const int64_t pixel = written_pixel(layer, place.image, place.y + row, place.x + c);
          const int64_t at = pixel * layer.outputs + first_output + lane;
          Floats value = pixels[c] + bias;
          if (layer.added != nullptr) value += load(static_cast<const T*>(layer.added) + at);
          store(static_cast<T*>(layer.y) + at, value);
        }
      }
    }
  }
}

// Calls `work` with the size of the layer's patches and an element of its type.
template <typename Work>
void with_types(const Convolution3x3& layer, Work work) {
  const auto patch = [&]<typename T>(T element) {
    if (layer.part < 0) work(std::integral_constant<size_t, 6>(), element);
    else work(std::integral_constant<size_t, 5>(), element);
  };
  if (layer.type == Element::kFloat32) patch(float());
  else patch(BFloat16());
}

}  // namespace

void winograd_weights(const Convolution3x3& layer, int64_t first_output, float* transformed) {
  with_types(layer,
             [&]<typename T>(auto patch, T /*element*/) { weights_of<T, patch>(layer, first_output, transformed); });
}

void winograd_tiles(const Convolution3x3& layer, int64_t first_tile, int64_t count, float* transformed) {
  with_types(layer,
             [&]<typename T>(auto patch, T /*element*/) { tiles_of<T, patch>(layer, first_tile, count, transformed); });
}

void winograd_outputs(const Convolution3x3& layer, int64_t first_tile, int64_t count, const float* tiles,
                      int64_t first_output, int64_t panels, const float* weights, float* products) {
  const int64_t places = winograd_places(layer);
  const int64_t stride = winograd_stride(layer);
  const int64_t depth = layer.inputs * kWinogradOutputs;
  const int64_t size = count * kWinogradOutputs;
  // All panels after each other at one place, whose tiles stay in the second cache meanwhile.
  for (int64_t place = 0; place < places; ++place) {
    for (int64_t panel = 0; panel < panels; ++panel) {
      multiply(tiles + place * count * stride, count, stride, weights + (panel * places + place) * depth, layer.inputs,
               products + (place * panels + panel) * size);
    }
  }
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t output = first_output + panel * kWinogradOutputs;
    with_types(layer, [&]<typename T>(auto patch, T /*element*/) {
      write_outputs<T, patch>(layer, first_tile, count, output, products + panel * size, panels * size);
    });
  }
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
