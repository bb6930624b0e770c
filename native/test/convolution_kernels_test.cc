// Winograd's convolutions of every instruction set that this processor runs, against the definition in float64.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "../engine/kernels/kernels.h"
#include "check.h"
#include "values.h"

using animatediff::Element;
using animatediff::Kernels;
using check::floats;
using check::Values;

namespace {

// The pixel [y, x] of one output, by the definition; zeros lie around the picture, of which `times` pixels in each
// direction are one of x.
template <typename Layer>
double convolved(const Values& x, const Values& weight, const Layer& layer, int64_t image, int64_t row, int64_t column,
                 int64_t output, int64_t times = 1) {
  double total = 0;
  for (int64_t dy = 0; dy < 3; ++dy) {
    for (int64_t dx = 0; dx < 3; ++dx) {
      const int64_t y = row + dy - 1;
      const int64_t at = column + dx - 1;
      if (y < 0 || y >= times * layer.height || at < 0 || at >= times * layer.width) continue;
      const int64_t pixel = (image * layer.height + y / times) * layer.width + at / times;
      for (int64_t c = 0; c < layer.inputs; ++c) {
        total += x[pixel * layer.inputs + c] * weight[((c * 3 + dy) * 3 + dx) * layer.outputs + output];
      }
    }
  }
  return total;
}

// Runs the kernels on all tiles, in blocks that the rows of a product do not divide.
void run_winograd(const Kernels& kernels, const animatediff::Convolution3x3& layer) {
  const int64_t tiles = animatediff::winograd_tile_count(layer);
  EXPECT(tiles == 12);
  const int64_t block = 5;
  const int64_t places = animatediff::winograd_places(layer);
  const int64_t panels = layer.outputs / animatediff::kWinogradOutputs;
  const int64_t panel = places * layer.inputs * animatediff::kWinogradOutputs;
  std::vector<float> weights(static_cast<size_t>(panels * panel));
  std::vector<float> transformed(static_cast<size_t>(places * block * animatediff::winograd_stride(layer)));
  std::vector<float> products(static_cast<size_t>(places * block * layer.outputs));
  for (int64_t i = 0; i < panels; ++i) {
    kernels.winograd_weights(layer, i * animatediff::kWinogradOutputs, weights.data() + i * panel);
  }
  for (int64_t tile = 0; tile < tiles; tile += block) {
    const int64_t count = std::min(block, tiles - tile);
    kernels.winograd_tiles(layer, tile, count, transformed.data());
    kernels.winograd_outputs(layer, tile, count, transformed.data(), 0, panels, weights.data(), products.data());
  }
}

// Sizes that tiles do not divide. `doubled`: all four parts of the convolution of a picture twice as large.
void winograd_is_a_convolution(const Kernels& kernels, Element type, bool with_bias, bool with_added, bool doubled) {
  animatediff::Convolution3x3 layer{type, nullptr, nullptr, nullptr, nullptr, nullptr, 2, 9, 6, 48, 64};
  const int64_t times = doubled ? 2 : 1;
  const int64_t height = times * layer.height;
  const int64_t width = times * layer.width;
  const Values x(type, static_cast<size_t>(layer.images * layer.height * layer.width * layer.inputs), 21);
  const Values weight(type, static_cast<size_t>(layer.inputs * 9 * layer.outputs), 22, 0.05F);
  const int64_t pixels = layer.images * height * width;
  const Values added(type, static_cast<size_t>(pixels * layer.outputs), 23);
  const std::vector<float> bias = floats(static_cast<size_t>(layer.outputs), 24);
  Values y(type, static_cast<size_t>(pixels * layer.outputs), 25);
  layer.x = x.at(0);
  layer.weight = weight.at(0);
  layer.y = y.at(0);
  if (with_bias) layer.bias = bias.data();
  if (with_added) layer.added = added.at(0);

  if (!doubled) run_winograd(kernels, layer);
  for (int64_t part = 0; doubled && part < 4; ++part) {
    layer.part = part;
    run_winograd(kernels, layer);
  }
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const int64_t row = pixel / width % height;
    for (int64_t output = 0; output < layer.outputs; output += 7) {
      const auto at = static_cast<size_t>(pixel * layer.outputs + output);
      double expected = convolved(x, weight, layer, pixel / width / height, row, pixel % width, output, times);
      if (with_bias) expected += bias[static_cast<size_t>(output)];
      if (with_added) expected += added[at];
      // Sums of the transform are some ten times as large as the result.
      EXPECT_NEAR(y[at], expected, y.tolerance(expected) + 2e-5);
    }
  }
}

// The weight [inputs, 3, 3, outputs] in tiles, pixel by pixel under the kernel.
Values in_tiles(const Values& weight, int64_t inputs, int64_t outputs) {
  Values packed(Element::kBFloat16, static_cast<size_t>(inputs * 9 * outputs), 26);
  for (int64_t output = 0; output < outputs; ++output) {
    for (int64_t tap = 0; tap < 9; ++tap) {
      for (int64_t input = 0; input < inputs; ++input) {
        const int64_t step = (output / 32 * 9 + tap) * inputs / 32 + input / 32;
        const int64_t tile = step * 2 + output / 16 % 2;
        const int64_t to = tile * 512 + animatediff::place_in_tile(input % 32, output % 16);
        const int64_t from = (input * 9 + tap) * outputs + output;
        std::memcpy(packed.at(static_cast<size_t>(to)), weight.at(static_cast<size_t>(from)), 2);
      }
    }
  }
  return packed;
}

// Two panels together, and one.
void run_patches(const Kernels& kernels, const animatediff::TiledConvolution& layer, int64_t block) {
  const int64_t patches = animatediff::patch_count(layer);
  EXPECT(patches == 40);
  const int64_t places = animatediff::patch_places(layer);
  const int64_t panels = layer.outputs / animatediff::kOutputsOfPanel;
  const int64_t panel = places * layer.inputs * animatediff::kOutputsOfPanel;
  std::vector<uint16_t> weights(static_cast<size_t>(panels * panel));
  for (int64_t i = 0; i < panels; ++i) kernels.patch_weights(layer, i, weights.data() + i * panel);
  std::vector<uint16_t> transformed(
      static_cast<size_t>(places * animatediff::patch_rows(block) * animatediff::patch_stride(layer)));
  std::vector<char> scratch(static_cast<size_t>(kernels.patch_scratch(layer, block, 2)));
  for (int64_t first = 0; first < patches; first += block) {
    const int64_t count = std::min(block, patches - first);
    kernels.patch_pixels(layer, first, count, transformed.data());
    for (int64_t i = 0; i < panels; i += 2) {
      kernels.patch_outputs(layer, {transformed.data(), first, count}, i, std::min<int64_t>(2, panels - i),
                            weights.data() + i * panel, scratch.data());
    }
  }
}

// Sizes that patches do not divide; blocks of one tile of rows, of three, and in part; `doubled` as above.
void patches_are_a_convolution(const Kernels& kernels, int64_t block, bool with_bias, bool with_added, bool doubled) {
  constexpr auto kType = Element::kBFloat16;
  const std::vector<int64_t> places{0, 32};
  animatediff::TiledConvolution layer{nullptr, nullptr, places.data(), nullptr, nullptr, nullptr, 2, 9, 7, 64, 96};
  const int64_t times = doubled ? 2 : 1;
  const int64_t height = times * layer.height;
  const int64_t width = times * layer.width;
  const int64_t pixels = layer.images * height * width;
  const Values x(kType, static_cast<size_t>(layer.images * layer.height * layer.width * layer.inputs), 21);
  const Values weight(kType, static_cast<size_t>(layer.inputs * 9 * layer.outputs), 22, 0.05F);
  const Values packed = in_tiles(weight, layer.inputs, layer.outputs);
  const Values added(kType, static_cast<size_t>(pixels * layer.outputs), 23);
  const std::vector<float> bias = floats(static_cast<size_t>(layer.outputs), 24);
  Values y(kType, static_cast<size_t>(pixels * layer.outputs), 25);
  layer.x = x.at(0);
  layer.weight = packed.at(0);
  layer.y = y.at(0);
  if (with_bias) layer.bias = bias.data();
  if (with_added) layer.added = added.at(0);

  if (!doubled) run_patches(kernels, layer, block);
  for (int64_t part = 0; doubled && part < 4; ++part) {
    layer.part = part;
    run_patches(kernels, layer, block);
  }
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const int64_t row = pixel / width % height;
    for (int64_t output = 0; output < layer.outputs; output += 7) {
      const auto at = static_cast<size_t>(pixel * layer.outputs + output);
      double expected = convolved(x, weight, layer, pixel / width / height, row, pixel % width, output, times);
      if (with_bias) expected += bias[static_cast<size_t>(output)];
      if (with_added) expected += added[at];
      // Transformed pixels and weights are rounded, sums are of a deviation of 1.2; two doubled pixels add up weights.
      EXPECT_NEAR(y[at], expected, y.tolerance(expected) + (doubled ? 0.035 : 0.02));
    }
  }
}

}  // namespace

int main() {
  for (const auto& set : animatediff::runnable_kernels()) {
    std::printf("%s\n", set.instruction_set);
    for (const bool bias : {false, true}) {
      for (const bool added : {false, true}) {
        for (const Element type : {Element::kFloat32, Element::kBFloat16}) {
          for (const bool doubled : {false, true}) winograd_is_a_convolution(*set.kernels, type, bias, added, doubled);
        }
        for (const int64_t block : {7, 33, 40}) {
          for (const bool doubled : {false, true}) {
            patches_are_a_convolution(*set.kernels, block, bias, added, doubled);
          }
        }
      }
    }
  }
  return check::finish("convolution kernels");
}
