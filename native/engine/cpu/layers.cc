#include "layers.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "../kernels/kernels.h"
#include "element.h"
#include "packing.h"
#include "parallel.h"
#include "patches.h"
#include "tiled_winograd.h"
#include "tiles.h"
#include "winograd.h"

namespace animatediff::cpu {
namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using Bias = std::optional<at::Tensor>;

// oneDNN's operators with packed weights, which LibTorch names only for its compiler.
at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& weight, const Bias& bias) {
  using Function = at::Tensor(const at::Tensor&, const at::Tensor&, const Bias&, c10::string_view, Scalars,
                              std::optional<c10::string_view>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Function>();
  return call.call(x, weight, bias, "none", Scalars(), "");
}

at::Tensor packed_linear_add(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight, const Bias& bias) {
  using Function = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const Bias&, c10::string_view);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "binary").typed<Function>();
  return call.call(x, added, weight, bias, "add");
}

at::Tensor packed_convolution(const at::Tensor& x, const at::Tensor& weight, const Bias& bias, at::IntArrayRef padding,
                              at::IntArrayRef stride) {
  using Function = at::Tensor(const at::Tensor&, const at::Tensor&, const Bias&, at::IntArrayRef, at::IntArrayRef,
                              at::IntArrayRef, int64_t, c10::string_view, Scalars, std::optional<c10::string_view>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_convolution_pointwise", "").typed<Function>();
  return call.call(x, weight, bias, padding, stride, {1, 1}, 1, "none", Scalars(), "");
}

at::Tensor packed_convolution_add(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                                  const Bias& bias, at::IntArrayRef padding, at::IntArrayRef stride) {
  using Function = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const Bias&, at::IntArrayRef,
                              at::IntArrayRef, at::IntArrayRef, int64_t, c10::string_view, std::optional<at::Scalar>,
                              std::optional<c10::string_view>, Scalars, std::optional<c10::string_view>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_convolution_pointwise", "binary").typed<Function>();
  return call.call(x, added, weight, bias, padding, stride, {1, 1}, 1, "add", std::nullopt, std::nullopt, Scalars(),
                   std::nullopt);
}

at::Tensor floats(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }

// One sample's share of a group norm: x * scale + offset for each channel.
class Statistics {
 public:
  explicit Statistics(int64_t channels)
      : pivot(channels), sums(channels), squares(channels), scale(channels), offset(channels) {}

  // Group means and variances from the channels' sums around their pivots.
  void finish(const float* weight, const float* bias, const float* shift, int64_t rows, int64_t groups,
              double epsilon) {
    const auto channels = static_cast<int64_t>(sums.size());
    const int64_t width = channels / groups;
    const auto count = static_cast<double>(rows);
    for (int64_t first = 0; first < channels; first += width) {
      double mean = 0;
      for (int64_t c = first; c < first + width; ++c) mean += channel_mean(c, count, shift);
      mean /= static_cast<double>(width);
      double variance = 0;
      for (int64_t c = first; c < first + width; ++c) {
        const double off = channel_mean(c, count, shift) - mean;
        variance += squares[c] / count - (sums[c] / count) * (sums[c] / count) + off * off;
      }
      const double factor = 1 / std::sqrt(std::max(0.0, variance / static_cast<double>(width)) + epsilon);
      for (int64_t c = first; c < first + width; ++c) {
        const double by = weight[c] * factor;
        scale[c] = static_cast<float>(by);
        offset[c] = static_cast<float>(bias[c] + ((shift != nullptr ? shift[c] : 0.0F) - mean) * by);
      }
    }
  }

  std::vector<float> pivot;
  std::vector<double> sums;
  std::vector<double> squares;
  std::vector<float> scale;
  std::vector<float> offset;

 private:
  [[nodiscard]] double channel_mean(int64_t c, double count, const float* shift) const {
    return pivot[c] + sums[c] / count + (shift != nullptr ? shift[c] : 0.0F);
  }
};

// Row-major [rows, channels] of one element type.
struct Rows {
  Element type;
  const char* data;
  int64_t channels;
  int64_t bytes;

  [[nodiscard]] const char* at(int64_t row) const { return data + row * channels * bytes; }
};

Rows rows_of(const at::Tensor& x, int64_t channels) {
  return {element(x), static_cast<const char*>(x.const_data_ptr()), channels, x.element_size()};
}

void start(Statistics& statistics, const Rows& x, int64_t row) {
  // The first row lies near enough to the mean that the squares lose nothing.
  const std::vector<float> zero(statistics.pivot.size());
  kernels().moments(x.type, x.at(row), 1, x.channels, zero.data(), statistics.sums.data(), statistics.squares.data());
  for (size_t c = 0; c < zero.size(); ++c) {
    statistics.pivot[c] = static_cast<float>(statistics.sums[c]);
    statistics.sums[c] = statistics.squares[c] = 0;
  }
}

// Few samples: all threads share each of them.
void sum_in_parallel(Statistics& statistics, const Rows& x, int64_t first, int64_t rows) {
  const int64_t parts = std::min<int64_t>(at::get_num_threads(), rows);
  const int64_t each = (rows + parts - 1) / parts;
  std::vector<double> sums(static_cast<size_t>(2 * parts * x.channels));
  parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t count = std::min(each, rows - part * each);
      if (count <= 0) continue;
      double* const mine = sums.data() + 2 * part * x.channels;
      kernels().moments(x.type, x.at(first + part * each), count, x.channels, statistics.pivot.data(), mine,
                        mine + x.channels);
    }
  });
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t c = 0; c < x.channels; ++c) {
      statistics.sums[c] += sums[2 * part * x.channels + c];
      statistics.squares[c] += sums[(2 * part + 1) * x.channels + c];
    }
  }
}

}  // namespace

at::Tensor channels_last(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

at::Tensor tokens(const at::Tensor& x) { return x.permute({0, 2, 3, 1}).view({x.size(0), -1, x.size(1)}); }

at::Tensor first_rows(const at::Tensor& x, int64_t count) { return x.size(0) == count ? x : x.narrow(0, 0, count); }

at::Tensor repeated(const at::Tensor& x, int64_t repeats) {
  return repeats == 1 ? x : at::cat(std::vector<at::Tensor>(static_cast<size_t>(repeats), x), 0);
}

at::Tensor picture(const at::Tensor& tokens, const at::Tensor& like) {
  return tokens.view({like.size(0), like.size(2), like.size(3), -1}).permute({0, 3, 1, 2});
}

at::Tensor linear(const at::Tensor& x, const Part& layer, const at::Tensor& added) {
  return product(x, layer.tensor("weight"), layer.optional("bias"), added);
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const Bias& bias, const at::Tensor& added) {
  if (is_tiled(weight)) return tiled_product(x, weight, bias, added);
  if (weight.is_mkldnn()) {
    return added.defined() ? packed_linear_add(x, added, weight, bias) : packed_linear(x, weight, bias);
  }
  at::Tensor y = at::linear(x, weight.dim() == 2 ? weight : weight.flatten(1), bias);
  return added.defined() ? y.add_(added) : y;
}

at::Tensor convolution(const at::Tensor& x, const Part& layer, const at::Tensor& added) {
  if (layer.integers("kernel_size").front() == 1) {
    return picture(linear(tokens(x), layer, added.defined() ? tokens(added) : added), x);
  }
  const at::Tensor weight = packed_for(layer, x);
  const Bias bias = layer.optional("bias");
  const int64_t stride = layer.integers("stride").front();
  const int64_t padding = layer.integers("padding").front();
  if (has_winograd_order(weight)) return winograd_convolution(x, weight, bias, added);
  if (is_tiled(weight)) {
    if (stride == 1 && patches_pay(x, outputs_of(weight))) return tiled_winograd(x, weight, bias, added);
    return has_rows_of_tiles(x, stride) ? tiled_convolution(x, weight, bias, stride, added)
                                        : patch_convolution(x, weight, bias, stride, added);
  }
  if (weight.is_mkldnn()) {
    if (!added.defined()) return packed_convolution(x, weight, bias, {padding, padding}, {stride, stride});
    return packed_convolution_add(x, added, weight, bias, {padding, padding}, {stride, stride});
  }
  at::Tensor y = at::conv2d(x, weight, bias, stride, padding);
  return added.defined() ? y.add_(added) : y;
}

at::Tensor upsampled_convolution(const at::Tensor& x, const Part& layer, int64_t height, int64_t width) {
  const bool doubled = height == 2 * x.size(2) && width == 2 * x.size(3);
  // What pays before doubling pays afterwards too, so that both ways want the same form of the weight.
  if (doubled && saves_products(layer, x)) {
    const at::Tensor weight = packed_for(layer, x);
    const Bias bias = layer.optional("bias");
    return is_tiled(weight) ? tiled_winograd(x, weight, bias, {}, true)
                            : winograd_convolution(x, weight, bias, {}, true);
  }
  return convolution(at::upsample_nearest2d(x, {height, width}), layer);
}

at::Tensor group_norm(const at::Tensor& x, const at::Tensor& given_weight, const at::Tensor& given_bias,
                      const GroupNormOptions& options) {
  const int64_t channels = x.size(1);
  const at::Tensor weight = floats(given_weight);
  const at::Tensor bias = floats(given_bias);
  at::Tensor y = at::empty_like(x);
  const Rows from = rows_of(x, channels);
  auto* const to = static_cast<char*>(y.mutable_data_ptr());
  const int64_t rows = x.numel() / channels / options.samples;
  const auto shift_of = [&](int64_t sample) -> const float* {
    if (!options.shift.defined()) return nullptr;
    return options.shift.const_data_ptr<float>() + sample * options.shift.size(0) / options.samples * channels;
  };
  const auto finish = [&](Statistics& statistics, int64_t sample) {
    statistics.finish(weight.const_data_ptr<float>(), bias.const_data_ptr<float>(), shift_of(sample), rows,
                      options.groups, options.epsilon);
  };
  const auto scale = [&](const Statistics& statistics, int64_t row, int64_t count) {
    kernels().scale_rows(from.type, from.at(row), to + row * channels * from.bytes, count, channels,
                         statistics.scale.data(), statistics.offset.data(), options.silu);
  };
  if (options.samples >= at::get_num_threads()) {
    parallel_for(0, options.samples, 1, [&](int64_t begin, int64_t end) {
      for (int64_t sample = begin; sample < end; ++sample) {
        Statistics statistics(channels);
        start(statistics, from, sample * rows);
        kernels().moments(from.type, from.at(sample * rows), rows, channels, statistics.pivot.data(),
                          statistics.sums.data(), statistics.squares.data());
        finish(statistics, sample);
        scale(statistics, sample * rows, rows);
      }
    });
    return y;
  }
  for (int64_t sample = 0; sample < options.samples; ++sample) {
    Statistics statistics(channels);
    start(statistics, from, sample * rows);
    sum_in_parallel(statistics, from, sample * rows, rows);
    finish(statistics, sample);
    parallel_for(0, rows, 64,
                 [&](int64_t begin, int64_t end) { scale(statistics, sample * rows + begin, end - begin); });
  }
  return y;
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& given_weight, const at::Tensor& given_bias, double epsilon,
                      const at::Tensor& positions) {
  const int64_t channels = x.size(2);
  const int64_t count = x.size(1);
  const at::Tensor weight = floats(given_weight);
  const at::Tensor bias = floats(given_bias);
  const at::Tensor added = positions.defined() ? floats(positions) : positions;
  at::Tensor y = at::empty_like(x);
  const Rows from = rows_of(x, channels);
  auto* const to = static_cast<char*>(y.mutable_data_ptr());
  // Parts of one frame, because each frame has its own position.
  const int64_t parts = std::clamp<int64_t>(at::get_num_threads() * 4 / x.size(0), 1, count);
  const int64_t each = (count + parts - 1) / parts;
  parallel_for(0, x.size(0) * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t frame = item / parts;
      const int64_t first = item % parts * each;
      const int64_t rows = std::min(each, count - first);
      if (rows <= 0) continue;
      const int64_t row = frame * count + first;
      const float* const position =
          added.defined() ? added.const_data_ptr<float>() + frame % added.size(0) * channels : nullptr;
      kernels().layer_norm(from.type, from.at(row), to + row * channels * from.bytes, rows, channels,
                           weight.const_data_ptr<float>(), bias.const_data_ptr<float>(), static_cast<float>(epsilon),
                           position);
    }
  });
  return y;
}

at::Tensor gated_gelu(const at::Tensor& x) {
  const int64_t channels = x.size(2) / 2;
  at::Tensor y = at::empty({x.size(0), x.size(1), channels}, x.options());
  const Rows from = rows_of(x, 2 * channels);
  auto* const to = static_cast<char*>(y.mutable_data_ptr());
  parallel_for(0, x.size(0) * x.size(1), 16, [&](int64_t begin, int64_t end) {
    kernels().gated_gelu(from.type, from.at(begin), to + begin * channels * from.bytes, end - begin, channels);
  });
  return y;
}

}  // namespace animatediff::cpu
