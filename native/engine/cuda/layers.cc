#include "layers.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>

#include <array>

namespace animatediff::cuda {
namespace {

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

at::Tensor project(const at::Tensor& x, const Part& layer, const at::Tensor& residual) {
  return operators::add_bias_residual_(at::linear(x, matrix(layer)), layer.optional("bias"), residual);
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

at::Tensor gated_feed_forward(const Part& layers, const at::Tensor& normed, const at::Tensor& x) {
  const Part projection = layers["net"]["0"]["proj"];
  const at::Tensor hidden = operators::gated_gelu(at::linear(normed, matrix(projection)), projection.optional("bias"));
  return project(hidden, layers["net"]["2"], x);
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
