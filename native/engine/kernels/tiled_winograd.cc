// 3x3 convolution by Winograd's F(2x2, 3x3) in bfloat16: Lavin & Gray, "Fast Algorithms for Convolutional Neural
// Networks" (arXiv 1509.09308), section 4.1, whose matrices B, G and A are written out here. Patches of 4x4 pixels
// overlap by two and give 2x2 pixels each; for each pair of channels they take 16 multiplications, which are 16
// products of matrices, where the direct way takes 36. Where x is doubled, each of the four parts of y is a 2x2
// convolution of x itself, whose kernel has sums of the weights that fall on the same pixel: F(2x2, 2x2), made the same
// way from the points 0, 1 and infinity, with patches of 3x3 pixels and 9 products. Transformed pixels and weights are
// rounded to bfloat16, all else is float32.
#include "tiled_winograd.h"

#include <algorithm>
#include <array>

#include "matrix.h"
#include "picture.h"
#include "product.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

constexpr int64_t kOutput = 2;

// What a row or a column of a patch, or of the kernel behind it, becomes. A row of four or of three tells which of the
// two algorithms is meant.
using Four = std::array<Floats, 4>;
using Three = std::array<Floats, 3>;

// B^T x.
inline Four pixel_transform(const Four& x) { return {x[0] - x[2], x[1] + x[2], x[2] - x[1], x[1] - x[3]}; }
inline Three pixel_transform(const Three& x) { return {x[0] - x[1], x[1], x[2] - x[1]}; }

// G x of three weights. Of two pixels of the doubled x that are one pixel of x, an even row of y has the later two
// weights on one, an odd row the first two.
template <size_t Patch>
inline std::array<Floats, Patch> weight_transform(const Floats& a, const Floats& b, const Floats& c, bool odd) {
  if constexpr (Patch == 4) {
    const Floats outer = (a + c) * 0.5F;
    const Floats middle = b * 0.5F;
    return {a, outer + middle, outer - middle, c};
  } else {
    return {odd ? a + b : a, a + b + c, odd ? c : b + c};
  }
}

// A^T x.
inline std::array<Floats, kOutput> output_transform(const Four& x) { return {x[0] + x[1] + x[2], x[1] - x[2] - x[3]}; }
inline std::array<Floats, kOutput> output_transform(const Three& x) { return {x[0] + x[1], x[1] + x[2]}; }

// Sums of two tiles of rows with a panel, row after row.
constexpr int64_t kSums = 2 * kRowsOfTile * kOutputsOfPanel;

// Floats of the sums of one place: not a multiple of 4 KB, or all places would want the same lines of the cache.
int64_t sums_of_place(int64_t count, int64_t panels) {
  return panels * ((count + 2 * kRowsOfTile - 1) / (2 * kRowsOfTile)) * kSums + kLanes;
}

template <size_t Patch>
void write_outputs(const TiledConvolution& layer, const Patches& patches, int64_t panel, const float* sums,
                   int64_t place_stride) {
  const int64_t first = panel * kOutputsOfPanel;
  for (int64_t i = 0; i < patches.count; ++i, sums += kOutputsOfPanel) {
    const Place place = place_of<kOutput>(layer, patches.first + i);
    const int64_t high = std::min(kOutput, layer.height - place.y);
    const int64_t wide = std::min(kOutput, layer.width - place.x);
    for (int64_t lane = 0; lane < kOutputsOfPanel; lane += kLanes) {
      std::array<std::array<Floats, kOutput>, Patch> columns;
      for (size_t c = 0; c < Patch; ++c) {
        std::array<Floats, Patch> column;
        for (size_t row = 0; row < Patch; ++row) {
          column[row] = load(sums + static_cast<int64_t>(row * Patch + c) * place_stride + lane);
        }
        columns[c] = output_transform(column);
      }
      const Floats bias = layer.bias == nullptr ? Floats{} : load(layer.bias + first + lane);
      for (int64_t row = 0; row < high; ++row) {
        std::array<Floats, Patch> values;
        for (size_t c = 0; c < Patch; ++c) values[c] = columns[c][row];
        const std::array<Floats, kOutput> pixels = output_transform(values);
        for (int64_t c = 0; c < wide; ++c) {
          const int64_t pixel = written_pixel(layer, place.image, place.y + row, place.x + c);
          const int64_t at = pixel * layer.outputs + first + lane;
          Floats value = pixels[c] + bias;
          if (layer.added != nullptr) value += load(static_cast<const BFloat16*>(layer.added) + at);
          store(static_cast<BFloat16*>(layer.y) + at, value);
        }
      }
    }
  }
}

template <size_t Patch>
void weights_of(const TiledConvolution& layer, int64_t panel, void* transformed) {
  // All nine taps of a panel lie behind each other in the same order of elements.
  const int64_t size = layer.inputs * kOutputsOfPanel;
  const auto* const weight = static_cast<const BFloat16*>(layer.weight) + panel * 9 * size;
  for (int64_t i = 0; i < size; i += kLanes) {
    std::array<std::array<Floats, Patch>, 3> columns;
    for (int64_t c = 0; c < 3; ++c) {
      const BFloat16* const column = weight + c * size + i;
      columns[c] =
          weight_transform<Patch>(load(column), load(column + 3 * size), load(column + 6 * size), odd_rows(layer));
    }
    auto* target = static_cast<BFloat16*>(transformed) + i;
    for (size_t row = 0; row < Patch; ++row) {
      const auto values =
          weight_transform<Patch>(columns[0][row], columns[1][row], columns[2][row], odd_columns(layer));
      for (size_t c = 0; c < Patch; ++c, target += size) store(target, values[c]);
    }
  }
}

template <size_t Patch>
void pixels_of(const TiledConvolution& layer, int64_t first, int64_t count, void* transformed) {
  // What lies beyond the edges: the same zeros for all inputs.
  static constexpr std::array<BFloat16, kLanes> kOutside{};
  const int64_t stride = patch_stride(layer);
  const int64_t plane = patch_rows(count) * stride;
  for (int64_t i = 0; i < count; ++i) {
    const Place corner = seen_from(layer, place_of<kOutput>(layer, first + i));
    const BFloat16* pixels[Patch][Patch];
    int64_t steps[Patch][Patch];
    for (size_t row = 0; row < Patch; ++row) {
      for (size_t column = 0; column < Patch; ++column) {
        const int64_t pixel = seen_pixel(layer, corner.image, corner.y + static_cast<int64_t>(row),
                                         corner.x + static_cast<int64_t>(column));
        pixels[row][column] =
            pixel < 0 ? kOutside.data() : static_cast<const BFloat16*>(layer.x) + pixel * layer.inputs;
        steps[row][column] = pixel < 0 ? 0 : 1;
      }
    }
    for (int64_t input = 0; input < layer.inputs; input += kLanes) {
      std::array<std::array<Floats, Patch>, Patch> columns;
      for (size_t c = 0; c < Patch; ++c) {
        std::array<Floats, Patch> column;
        for (size_t row = 0; row < Patch; ++row) column[row] = load(pixels[row][c] + steps[row][c] * input);
        columns[c] = pixel_transform(column);
      }
      auto* target = static_cast<BFloat16*>(transformed) + i * stride + input;
      for (size_t row = 0; row < Patch; ++row) {
        std::array<Floats, Patch> values;
        for (size_t c = 0; c < Patch; ++c) values[c] = columns[c][row];
        values = pixel_transform(values);
        for (size_t c = 0; c < Patch; ++c, target += plane) store(target, values[c]);
      }
    }
  }
}

}  // namespace

void patch_weights(const TiledConvolution& layer, int64_t panel, void* transformed) {
  if (layer.part < 0) weights_of<4>(layer, panel, transformed);
  else weights_of<3>(layer, panel, transformed);
}

void patch_pixels(const TiledConvolution& layer, int64_t first, int64_t count, void* transformed) {
  if (layer.part < 0) pixels_of<4>(layer, first, count, transformed);
  else pixels_of<3>(layer, first, count, transformed);
}

int64_t patch_scratch(const TiledConvolution& layer, int64_t count, int64_t panels) {
  return patch_places(layer) * sums_of_place(count, panels) * static_cast<int64_t>(sizeof(float));
}

void patch_outputs(const TiledConvolution& layer, const Patches& patches, int64_t first_panel, int64_t panels,
                   const void* weights, void* scratch) {
  const TileRegisters registers;
  const int64_t places = patch_places(layer);
  const int64_t stride = patch_stride(layer);
  const int64_t rows = patch_rows(patches.count);
  const int64_t size = layer.inputs * kOutputsOfPanel;
  const int64_t place_stride = sums_of_place(patches.count, panels);
  const int64_t panel_stride = (place_stride - kLanes) / panels;
  const auto* const pixels = static_cast<const BFloat16*>(patches.transformed);
  auto* const sums = static_cast<float*>(scratch);
  // All panels after each other at one place, whose rows stay in the second-level cache meanwhile.
  for (int64_t place = 0; place < places; ++place) {
    const Panels matrix{static_cast<const BFloat16*>(weights) + place * size, places * size, panels,
                        layer.inputs / kDepthOfStep};
    multiply_with_panels(pixels + place * rows * stride, rows, stride, matrix, layer.places,
                         sums + place * place_stride, panel_stride);
  }
  for (int64_t panel = 0; panel < panels; ++panel) {
    const float* const from = sums + panel * panel_stride;
    if (layer.part < 0) write_outputs<4>(layer, patches, first_panel + panel, from, place_stride);
    else write_outputs<3>(layer, patches, first_panel + panel, from, place_stride);
  }
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
