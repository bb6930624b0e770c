#include "layers.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>

#include <algorithm>
#include <array>

namespace animatediff::cuda {
namespace {

// What the hidden layer of a feed-forward takes at once: the most that any layer does, without costing speed.
constexpr int64_t kFeedForwardBytes = int64_t{256} << 20;

// Of a picture whose 2x2 convolution is a product of its patches: cuDNN has no fast kernel for every odd size, and the
// patches of larger pictures take more time than that costs.
constexpr int64_t kMostPatchPixels = 32 * 32;

constexpr std::array kProjections{"to_q", "to_k", "to_v"};

std::array<at::Tensor, 3> projections(const Part& attention) {
  return {attention["to_q"].tensor("weight"), attention["to_k"].tensor("weight"), attention["to_v"].tensor("weight")};
}

bool follows(const at::Tensor& first, const at::Tensor& second) {
  return first.is_contiguous() && second.is_contiguous() && first.is_alias_of(second) &&
         first.storage_offset() + first.numel() == second.storage_offset();
}

}  // namespace

at::Tensor matrix(const Part& layer) {
  const at::Tensor weight = layer.tensor("weight");
  return weight.dim() == 2 ? weight : weight.flatten(1);
}

at::Tensor project(const at::Tensor& x, const Part& layer) {
  return at::linear(x, matrix(layer), layer.optional("bias"));
}

at::Tensor project_onto(const at::Tensor& x, const Part& layer, const at::Tensor& residual, const at::Tensor& out) {
  return operators::linear_residual(x, matrix(layer), layer.optional("bias"), residual, out);
}

at::Tensor project(const at::Tensor& x, const Part& layer, const at::Tensor& residual) {
  return project_onto(x, layer, residual, at::empty_like(residual));
}

at::Tensor convolution_without_bias(const at::Tensor& x, const Part& layer) {
  const int64_t stride = layer.integers("stride").front();
  const int64_t padding = layer.integers("padding").front();
  return channels_last(at::conv2d(x, layer.tensor("weight"), {}, stride, padding));
}

at::Tensor normalise_groups(const at::Tensor& x, const Part& layer, int64_t samples, bool silu, const Optional& shift) {
  const cpu::GroupNormOptions options = cpu::norm_options(layer, samples, silu);
  const at::Tensor normed = operators::token_group_norm(tokens(x), layer.tensor("weight"), layer.tensor("bias"), shift,
                                                        options.samples, options.groups, options.epsilon, options.silu);
  return picture(normed, x);
}

at::Tensor normalise(const at::Tensor& x, const Part& layer, const Optional& positions) {
  return operators::token_layer_norm(x, layer.tensor("weight"), layer.tensor("bias"), positions, layer.number("eps"));
}

at::Tensor upsampled_convolution(const at::Tensor& x, const Part& layer) {
  const at::Tensor weight = layer.tensor("weight").permute({0, 2, 3, 1}).contiguous();
  const at::Tensor phases = operators::phase_weights(weight);
  const at::Tensor rows = x.permute({0, 2, 3, 1});
  const at::Tensor y = x.size(2) * x.size(3) <= kMostPatchPixels
                           ? at::linear(operators::corner_patches(rows), phases.flatten(1))
                           : channels_last(at::conv2d(x, phases.permute({0, 3, 1, 2}), {}, 1, 1)).permute({0, 2, 3, 1});
  return operators::join_phases(y, layer.optional("bias")).permute({0, 3, 1, 2});
}

void add_gated_feed_forward(const Part& layers, const at::Tensor& normed, const at::Tensor& x) {
  const Part projection = layers["net"]["0"]["proj"];
  const at::Tensor weight = matrix(projection);
  const at::Tensor rows = normed.view({1, -1, normed.size(2)});
  const at::Tensor out = x.view({1, -1, x.size(2)});
  const int64_t row_bytes = weight.size(0) * static_cast<int64_t>(weight.element_size());
  const int64_t most = std::max<int64_t>(1, kFeedForwardBytes / row_bytes / 128) * 128;
  // Equal pieces, so that none is too small to fill the device.
  const int64_t pieces = (rows.size(1) + most - 1) / most;
  const int64_t count = ((rows.size(1) + pieces - 1) / pieces + 127) / 128 * 128;
  for (int64_t first = 0; first < rows.size(1); first += count) {
    const int64_t some = std::min(count, rows.size(1) - first);
    const at::Tensor hidden = operators::gated_linear(rows.narrow(1, first, some), weight, projection.optional("bias"));
    const at::Tensor part = out.narrow(1, first, some);
    project_onto(hidden, layers["net"]["2"], part, part);
  }
}

at::Tensor fused_projection(const at::Tensor& x, const Part& attention) {
  const auto [q, k, v] = projections(attention);
  if (!follows(q, k) || !follows(k, v)) return at::linear(x, at::cat({q, k, v}));
  return at::linear(x, q.as_strided({q.size(0) + k.size(0) + v.size(0), q.size(1)}, q.strides()));
}

void fuse_projections(const Part& attention) {
  const auto weights = projections(attention);
  if (follows(weights[0], weights[1]) && follows(weights[1], weights[2])) return;
  const at::Tensor fused = at::cat(at::TensorList(weights));
  int64_t row = 0;
  for (size_t i = 0; i < kProjections.size(); ++i) {
    attention[kProjections[i]].set("weight", fused.narrow(0, row, weights[i].size(0)));
    row += weights[i].size(0);
  }
}

}  // namespace animatediff::cuda
