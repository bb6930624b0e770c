// 3x3 convolution by Winograd's F(2x2, 3x3) on tiles of bfloat16: Lavin & Gray, "Fast Algorithms for Convolutional
// Neural Networks" (arXiv 1509.09308), section 4.1, whose matrices B, G and A are written out here. Patches of 4x4
// pixels overlap by two and give 2x2 pixels each; for each pair of channels they take 16 multiplications, which are 16
// products of matrices, where the direct way takes 36. Transformed pixels and weights are rounded to bfloat16, all else
// is float32.
#include "tiled_winograd.h"

#include <algorithm>
#include <array>

#include "matrix.h"
#include "product.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

constexpr int64_t kPatch = 4;
constexpr int64_t kOutput = 2;
static_assert(kPatch * kPatch == kPatchPlaces);

using Four = std::array<Floats, kPatch>;

// B^T x.
inline Four pixel_transform(const Four& x) { return {x[0] - x[2], x[1] + x[2], x[2] - x[1], x[1] - x[3]}; }

// G x.
inline Four weight_transform(const Floats& a, const Floats& b, const Floats& c) {
  const Floats outer = (a + c) * 0.5F;
  const Floats middle = b * 0.5F;
  return {a, outer + middle, outer - middle, c};
}

// A^T x.
inline std::array<Floats, kOutput> output_transform(const Four& x) { return {x[0] + x[1] + x[2], x[1] - x[2] - x[3]}; }

struct Place {
  int64_t image, y, x;
};

Place place_of(const TiledConvolution& layer, int64_t patch) {
  const int64_t across = (layer.width + kOutput - 1) / kOutput;
  const int64_t down = (layer.height + kOutput - 1) / kOutput;
  return {patch / (across * down), patch / across % down * kOutput, patch % across * kOutput};
}

// Sums of two tiles of rows with a panel, row after row.
constexpr int64_t kSums = 2 * kRowsOfTile * kOutputsOfPanel;

// Floats of the sums of one place: not a multiple of 4 KB, or all places would want the same lines of the cache.
int64_t sums_of_place(int64_t count, int64_t panels) {
  return panels * ((count + 2 * kRowsOfTile - 1) / (2 * kRowsOfTile)) * kSums + kLanes;
}

void write_outputs(const TiledConvolution& layer, const Patches& patches, int64_t panel, const float* sums,
                   int64_t place_stride) {
  const int64_t first = panel * kOutputsOfPanel;
  for (int64_t i = 0; i < patches.count; ++i, sums += kOutputsOfPanel) {
    const Place place = place_of(layer, patches.first + i);
    const int64_t high = std::min(kOutput, layer.height - place.y);
    const int64_t wide = std::min(kOutput, layer.width - place.x);
    for (int64_t lane = 0; lane < kOutputsOfPanel; lane += kLanes) {
      std::array<std::array<Floats, kOutput>, kPatch> columns;
      for (int64_t c = 0; c < kPatch; ++c) {
        Four column;
        for (int64_t row = 0; row < kPatch; ++row) column[row] = load(sums + (row * kPatch + c) * place_stride + lane);
        columns[c] = output_transform(column);
      }
      const Floats bias = layer.bias == nullptr ? Floats{} : load(layer.bias + first + lane);
      for (int64_t row = 0; row < high; ++row) {
        const auto pixels = output_transform({columns[0][row], columns[1][row], columns[2][row], columns[3][row]});
        const int64_t pixel = (place.image * layer.height + place.y + row) * layer.width + place.x;
        for (int64_t c = 0; c < wide; ++c) {
          const int64_t at = (pixel + c) * layer.outputs + first + lane;
          Floats value = pixels[c] + bias;
          if (layer.added != nullptr) value += load(static_cast<const BFloat16*>(layer.added) + at);
          store(static_cast<BFloat16*>(layer.y) + at, value);
        }
      }
    }
  }
}

}  // namespace

void patch_weights(const TiledConvolution& layer, int64_t panel, void* transformed) {
  // All nine taps of a panel lie behind each other in the same order of elements.
  const int64_t size = layer.inputs * kOutputsOfPanel;
  const auto* const weight = static_cast<const BFloat16*>(layer.weight) + panel * 9 * size;
  auto* const target = static_cast<BFloat16*>(transformed);
  for (int64_t i = 0; i < size; i += kLanes) {
    std::array<Four, 3> columns;
    for (int64_t c = 0; c < 3; ++c) {
      const BFloat16* const column = weight + c * size + i;
      columns[c] = weight_transform(load(column), load(column + 3 * size), load(column + 6 * size));
    }
    for (int64_t row = 0; row < kPatch; ++row) {
      const Four values = weight_transform(columns[0][row], columns[1][row], columns[2][row]);
      for (int64_t c = 0; c < kPatch; ++c) store(target + (row * kPatch + c) * size + i, values[c]);
    }
  }
}

void patch_pixels(const TiledConvolution& layer, int64_t first, int64_t count, void* transformed) {
  // What lies beyond the edges: the same zeros for all inputs.
  static constexpr std::array<BFloat16, kLanes> kOutside{};
  const int64_t stride = patch_stride(layer);
  const int64_t plane = patch_rows(count) * stride;
  auto* target = static_cast<BFloat16*>(transformed);
  for (int64_t i = 0; i < count; ++i, target += stride) {
    const Place place = place_of(layer, first + i);
    const BFloat16* pixels[kPatch][kPatch];
    int64_t steps[kPatch][kPatch];
    for (int64_t row = 0; row < kPatch; ++row) {
      for (int64_t column = 0; column < kPatch; ++column) {
        const int64_t y = place.y + row - 1;
        const int64_t x = place.x + column - 1;
        const bool inside = y >= 0 && y < layer.height && x >= 0 && x < layer.width;
        pixels[row][column] = !inside ? kOutside.data()
                                      : static_cast<const BFloat16*>(layer.x) +
                                            ((place.image * layer.height + y) * layer.width + x) * layer.inputs;
        steps[row][column] = inside ? 1 : 0;
      }
    }
    for (int64_t input = 0; input < layer.inputs; input += kLanes) {
      std::array<Four, kPatch> columns;
      for (int64_t c = 0; c < kPatch; ++c) {
        Four column;
        for (int64_t row = 0; row < kPatch; ++row) column[row] = load(pixels[row][c] + steps[row][c] * input);
        columns[c] = pixel_transform(column);
      }
      for (int64_t row = 0; row < kPatch; ++row) {
        const Four values = pixel_transform({columns[0][row], columns[1][row], columns[2][row], columns[3][row]});
        for (int64_t c = 0; c < kPatch; ++c) store(target + (row * kPatch + c) * plane + input, values[c]);
      }
    }
  }
}

int64_t patch_scratch(int64_t count, int64_t panels) {
  return kPatchPlaces * sums_of_place(count, panels) * static_cast<int64_t>(sizeof(float));
}

void patch_outputs(const TiledConvolution& layer, const Patches& patches, int64_t first_panel, int64_t panels,
                   const void* weights, void* scratch) {
  const TileRegisters registers;
  const int64_t stride = patch_stride(layer);
  const int64_t rows = patch_rows(patches.count);
  const int64_t size = layer.inputs * kOutputsOfPanel;
  const int64_t place_stride = sums_of_place(patches.count, panels);
  const int64_t panel_stride = (place_stride - kLanes) / panels;
  const auto* const pixels = static_cast<const BFloat16*>(patches.transformed);
  auto* const sums = static_cast<float*>(scratch);
  // All panels after each other at one place, whose rows stay in the second-level cache meanwhile.
  for (int64_t place = 0; place < kPatchPlaces; ++place) {
    for (int64_t panel = 0; panel < panels; ++panel) {
      multiply_with_panel(pixels + place * rows * stride, rows, stride,
                          static_cast<const BFloat16*>(weights) + (panel * kPatchPlaces + place) * size, layer.places,
                          layer.inputs / kDepthOfStep, sums + place * place_stride + panel * panel_stride);
    }
  }
  for (int64_t panel = 0; panel < panels; ++panel) {
    write_outputs(layer, patches, first_panel + panel, sums + panel * panel_stride, place_stride);
  }
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
