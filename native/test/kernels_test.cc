// The CPU's kernels of every instruction set that this processor runs, against their definitions in float64.

#include "../engine/kernels/kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "values.h"

using animatediff::Element;
using animatediff::HeadRows;
using animatediff::Kernels;
using check::floats;
using check::Values;

namespace {

void sums_around_a_pivot_are_exact(const Kernels& kernels, Element type) {
  for (const size_t channels : {1, 15, 16, 37, 64}) {
    const size_t rows = 131;
    const Values x(type, rows * channels, 1);
    const std::vector<float> pivot = floats(channels, 2);
    std::vector<double> sums(channels);
    std::vector<double> squares(channels);
    kernels.moments(type, x.at(0), rows, channels, pivot.data(), sums.data(), squares.data());
    for (size_t c = 0; c < channels; ++c) {
      double sum = 0;
      double square = 0;
      for (size_t row = 0; row < rows; ++row) {
        const double value = x[row * channels + c] - pivot[c];
        sum += value;
        square += value * value;
      }
      EXPECT_NEAR(sums[c], sum, 1e-3);
      EXPECT_NEAR(squares[c], square, 1e-3);
    }
  }
}

void rows_are_scaled_with_and_without_silu(const Kernels& kernels, Element type) {
  for (const size_t channels : {3, 16, 40}) {
    const size_t rows = 5;
    // Far out, where the exponential ends.
    const Values x(type, rows * channels, 3, 40);
    const std::vector<float> scale = floats(channels, 4);
    const std::vector<float> offset = floats(channels, 5);
    for (const bool silu : {false, true}) {
      Values y(type, rows * channels, 0);
      kernels.scale_rows(type, x.at(0), y.at(0), rows, channels, scale.data(), offset.data(), silu);
      for (size_t i = 0; i < rows * channels; ++i) {
        const double scaled = x[i] * scale[i % channels] + offset[i % channels];
        const double expected = silu ? scaled / (1 + std::exp(-scaled)) : scaled;
        EXPECT_NEAR(y[i], expected, y.tolerance(expected));
      }
    }
  }
}

void layer_norm_normalises_each_row(const Kernels& kernels, Element type) {
  for (const size_t channels : {8, 16, 40, 323}) {
    const size_t rows = 3;
    const Values x(type, rows * channels, 6, 3);
    const std::vector<float> weight = floats(channels, 7);
    const std::vector<float> bias = floats(channels, 8);
    const std::vector<float> added = floats(channels, 9);
    for (const bool adds : {false, true}) {
      Values y(type, rows * channels, 0);
      kernels.layer_norm(type, x.at(0), y.at(0), rows, channels, weight.data(), bias.data(), 1e-5F,
                         adds ? added.data() : nullptr);
      for (size_t row = 0; row < rows; ++row) {
        double mean = 0;
        double variance = 0;
        for (size_t c = 0; c < channels; ++c) mean += x[row * channels + c] / channels;
        for (size_t c = 0; c < channels; ++c) variance += std::pow(x[row * channels + c] - mean, 2) / channels;
        for (size_t c = 0; c < channels; ++c) {
          const double normed = (x[row * channels + c] - mean) / std::sqrt(variance + 1e-5);
          const double expected = normed * weight[c] + bias[c] + (adds ? added[c] : 0);
          EXPECT_NEAR(y[row * channels + c], expected, y.tolerance(expected));
        }
      }
    }
  }
}

void the_gate_is_the_exact_gelu(const Kernels& kernels, Element type) {
  for (const size_t channels : {5, 16, 51}) {
    const size_t rows = 4;
    const Values x(type, 2 * rows * channels, 10, 3);
    Values y(type, rows * channels, 0);
    kernels.gated_gelu(type, x.at(0), y.at(0), rows, channels);
    for (size_t i = 0; i < rows * channels; ++i) {
      const size_t first = i / channels * 2 * channels + i % channels;
      const double gate = x[first + channels];
      const double expected = x[first] * gate * 0.5 * (1 + std::erf(gate / std::sqrt(2.0)));
      EXPECT_NEAR(y[i], expected, y.tolerance(expected));
    }
  }
}

// Rows of one head lie `stride` elements apart, in the midst of other heads.
void heads_attend(const Kernels& kernels, Element type, int64_t queries, int64_t keys, int64_t width) {
  const int64_t stride = width + 3;
  const auto count = [&](int64_t rows) { return static_cast<size_t>(rows * stride); };
  const Values q(type, count(queries), 11);
  const Values k(type, count(keys), 12);
  const Values v(type, count(keys), 13);
  Values out(type, count(queries), 14);
  const Values before = out;
  const auto bytes = static_cast<size_t>(kernels.packed_bytes(type, keys, width));
  std::vector<char> packed_keys(bytes);
  std::vector<char> packed_values(bytes);
  std::vector<char> scratch(static_cast<size_t>(kernels.attend_scratch(type, keys, width)));
  const float scale = 1 / std::sqrt(static_cast<float>(width));
  kernels.pack_keys(type, {k.at(0), stride, keys}, width, packed_keys.data());
  kernels.pack_values(type, {v.at(0), stride, keys}, width, packed_values.data());
  kernels.attend(type, {q.at(0), stride, queries}, {packed_keys.data(), packed_values.data(), keys}, width, scale,
                 {out.at(0), stride, queries}, scratch.data());
  for (int64_t row = 0; row < queries; ++row) {
    std::vector<double> weights(static_cast<size_t>(keys));
    double total = 0;
    for (int64_t key = 0; key < keys; ++key) {
      double score = 0;
      for (int64_t d = 0; d < width; ++d) score += q[row * stride + d] * k[key * stride + d];
      total += weights[key] = std::exp(score * scale);
    }
    for (int64_t d = 0; d < width; ++d) {
      double expected = 0;
      for (int64_t key = 0; key < keys; ++key) expected += weights[key] / total * v[key * stride + d];
      // Weights are rounded to the element type too.
      EXPECT_NEAR(out[row * stride + d], expected,
                  (type == Element::kFloat32 ? 3e-6 : 0.02) * (1 + std::abs(expected)));
    }
    for (int64_t d = width; d < stride; ++d) EXPECT(out[row * stride + d] == before[row * stride + d]);
  }
}

void attention_is_softmax_over_the_keys(const Kernels& kernels, Element type) {
  for (const int64_t width : {7, 8, 40, 80, 160}) {
    for (const int64_t keys : {1, 16, 77, 600}) heads_attend(kernels, type, 29, keys, width);
  }
  heads_attend(kernels, type, 1, 24, 64);
  // More keys than are looked at together; the largest score may come late.
  for (const int64_t keys : {1024, 1025, 2600}) heads_attend(kernels, type, 31, keys, 40);
}

// Two tiles of rows and one, the last of them in part; a depth in one part and in two; places in any order.
void packed_products_are_products(const Kernels& kernels, int64_t steps, bool gated) {
  const int64_t inputs = steps * animatediff::kDepthOfStep;
  const int64_t outputs = 3 * animatediff::kOutputsOfPanel;
  const int64_t rows = 45;
  const Values x(Element::kBFloat16, static_cast<size_t>(48 * inputs), 31);
  const Values weight(Element::kBFloat16, static_cast<size_t>(outputs * inputs), 32, 0.05F);
  const Values bias(Element::kFloat32, static_cast<size_t>(outputs), 33);
  const Values added(Element::kBFloat16, static_cast<size_t>(rows * outputs), 34);
  Values packed(Element::kBFloat16, static_cast<size_t>(outputs * inputs), 35);
  Values y(Element::kBFloat16, static_cast<size_t>(rows * outputs), 36);
  // Steps are read from the last to the first.
  std::vector<int64_t> places;
  for (int64_t step = 0; step < steps; ++step) places.push_back((steps - 1 - step) * animatediff::kDepthOfStep);
  // A panel has outputs beside each other, or values and gates that are half of all outputs apart.
  const auto output_of = [&](int64_t panel, int64_t tile, int64_t lane) {
    return gated ? tile * outputs / 2 + panel * 16 + lane : panel * 32 + tile * 16 + lane;
  };
  for (int64_t output = 0; output < outputs; ++output) {
    for (int64_t input = 0; input < inputs; ++input) {
      const int64_t panel = output / 32;
      const int64_t tile = output / 16 % 2;
      const int64_t step = input / 32;
      const int64_t at =
          ((panel * steps + step) * 2 + tile) * 512 + animatediff::place_in_tile(input % 32, output % 16);
      const int64_t from =
          output_of(panel, tile, output % 16) * inputs + places[static_cast<size_t>(step)] + input % 32;
      std::memcpy(packed.at(static_cast<size_t>(at)), weight.at(static_cast<size_t>(from)), 2);
    }
  }
  const animatediff::TiledProduct product{packed.at(0),
                                          outputs,
                                          steps,
                                          places.data(),
                                          inputs,
                                          std::bit_cast<const float*>(bias.at(0)),
                                          gated ? nullptr : added.at(0),
                                          y.at(0),
                                          gated};
  std::vector<animatediff::RowTile> tiles;
  for (int64_t row = 0; row < rows; row += 16) {
    tiles.push_back({x.at(static_cast<size_t>(row * inputs)), row, std::min<int64_t>(16, rows - row)});
  }
  std::vector<float> scratch(static_cast<size_t>(kernels.product_scratch(product, 3)) / sizeof(float));
  kernels.multiply_rows(product, tiles.data(), 3, scratch.data());
  const auto sum = [&](int64_t row, int64_t output) {
    double result = bias[static_cast<size_t>(output)];
    for (int64_t input = 0; input < inputs; ++input) {
      result += x[static_cast<size_t>(row * inputs + input)] * weight[static_cast<size_t>(output * inputs + input)];
    }
    return result;
  };
  const int64_t written = gated ? outputs / 2 : outputs;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t output = 0; output < written; ++output) {
      const auto at = static_cast<size_t>(row * written + output);
      double expected = sum(row, output);
      if (gated) {
        const double gate = sum(row, written + output);
        expected *= gate * 0.5 * (std::erf(gate / std::sqrt(2.0)) + 1);
      } else {
        expected += added[at];
      }
      EXPECT_NEAR(y[at], expected, y.tolerance(expected) + 1e-4);
    }
  }
}

// One bad value at any place, also behind the last whole register.
void infinity_and_nan_are_found(const Kernels& kernels) {
  for (const size_t count : {1, 15, 32, 33, 100}) {
    std::vector<uint16_t> half(count, 0x7bff);
    std::vector<uint32_t> single(count, 0xff7fffff);
    const auto places = static_cast<int64_t>(count);
    EXPECT(kernels.finite_16(half.data(), places, 0x7c00));
    EXPECT(kernels.finite_32(single.data(), places, 0x7f800000));
    for (size_t i = 0; i < count; ++i) {
      half[i] = i % 2 == 0 ? 0xfc00 : 0x7e00;
      single[i] = i % 2 == 0 ? 0xff800000 : 0x7fc00000;
      EXPECT(!kernels.finite_16(half.data(), places, 0x7c00));
      EXPECT(!kernels.finite_32(single.data(), places, 0x7f800000));
      half[i] = 0x0001;
      single[i] = 0x80000001;
    }
    EXPECT(kernels.finite_16(half.data(), places, 0x7f80));
  }
}

}  // namespace

int main() {
  for (const auto& set : animatediff::runnable_kernels()) {
    std::printf("%s\n", set.instruction_set);
    infinity_and_nan_are_found(*set.kernels);
    for (const int64_t steps : {1, 7, 45}) {
      for (const bool gated : {false, true}) packed_products_are_products(*set.kernels, steps, gated);
    }
    for (const Element type : {Element::kFloat32, Element::kBFloat16}) {
      sums_around_a_pivot_are_exact(*set.kernels, type);
      rows_are_scaled_with_and_without_silu(*set.kernels, type);
      layer_norm_normalises_each_row(*set.kernels, type);
      the_gate_is_the_exact_gelu(*set.kernels, type);
      attention_is_softmax_over_the_keys(*set.kernels, type);
    }
  }
  return check::finish("kernels");
}
