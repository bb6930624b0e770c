// The operators on the CPU, by the CPU's own kernels in float32 whatever the type of the tensors: what the CUDA
// implementations are compared with.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>
#include <torch/library.h>

#include "../cpu/attention.h"
#include "../cpu/layers.h"
#include "shapes.h"

namespace animatediff::operators {
namespace {

at::Tensor wide(const at::Tensor& x) { return x.to(at::kFloat); }
at::Tensor wide(const Optional& x) { return x.has_value() ? wide(*x) : at::Tensor(); }

at::Tensor reference_group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                const Optional& shift, int64_t samples, int64_t groups, double epsilon, bool silu) {
  check_group_norm(x, weight, bias, shift, samples, groups);
  const at::Tensor picture = wide(x).permute({0, 2, 1}).unsqueeze(3);
  const at::Tensor y =
      cpu::group_norm(picture, wide(weight), wide(bias), {samples, groups, epsilon, silu, wide(shift)});
  return y.squeeze(3).permute({0, 2, 1}).to(x.scalar_type());
}

at::Tensor reference_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                const Optional& positions, double epsilon) {
  check_layer_norm(x, weight, bias, positions);
  return cpu::layer_norm(wide(x), wide(weight), wide(bias), epsilon, wide(positions)).to(x.scalar_type());
}

at::Tensor reference_gated_gelu(const at::Tensor& x, const Optional& bias) {
  check_gated_gelu(x, bias);
  const at::Tensor sum = bias.has_value() ? wide(x) + wide(*bias) : wide(x);
  return cpu::gated_gelu(sum).to(x.scalar_type());
}

at::Tensor reference_gated_linear(const at::Tensor& x, const at::Tensor& weight, const Optional& bias) {
  check_gated_linear(x, weight, bias);
  at::Tensor sum = at::linear(wide(x), wide(weight));
  if (bias.has_value()) sum += wide(*bias);
  return cpu::gated_gelu(sum).to(x.scalar_type());
}

at::Tensor reference_add_bias_residual_(const at::Tensor& x, const Optional& bias, const at::Tensor& residual) {
  check_add_bias_residual(x, bias, residual);
  at::Tensor sum = wide(x) + wide(residual);
  if (bias.has_value()) sum += wide(*bias);
  return x.copy_(sum);
}

at::Tensor reference_temporal_attention(const at::Tensor& qkv, int64_t heads) {
  const int64_t channels = heads * check_temporal_attention(qkv, heads);
  const at::Tensor parts = wide(qkv).view({qkv.size(0) * qkv.size(1), qkv.size(2), 3, channels});
  const auto part = [&](int64_t i) { return parts.select(2, i).contiguous(); };
  const at::Tensor out = cpu::temporal_attention(part(0), part(1), part(2), heads, qkv.size(1));
  return out.view({qkv.size(0), qkv.size(1), qkv.size(2), channels}).to(qkv.scalar_type());
}

at::Tensor reference_head_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  check_head_attention(q, k, v);
  const auto heads = [](const at::Tensor& x) { return wide(x).transpose(1, 2); };
  const at::Tensor scores = at::matmul(heads(q), heads(k).transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(3)));
  return at::matmul(scores.softmax(3), heads(v)).transpose(1, 2).contiguous().to(q.scalar_type());
}

at::Tensor reference_linear_residual(const at::Tensor& x, const at::Tensor& weight, const Optional& bias,
                                     const at::Tensor& residual, const at::Tensor& out) {
  check_linear_residual(x, weight, bias, residual, out);
  at::Tensor sum = at::linear(wide(x), wide(weight)) + wide(residual);
  if (bias.has_value()) sum += wide(*bias);
  return out.copy_(sum);
}

at::Tensor reference_phase_weights(const at::Tensor& weight) {
  check_phase_weights(weight);
  const at::Tensor taps = wide(weight);
  std::vector<at::Tensor> phases;
  for (const int64_t row : {0, 1}) {
    // [out, 2, 3, in]: an even row sees its own source row twice, an odd one too.
    const at::Tensor rows = at::stack({taps.narrow(1, 0, 1 + row).sum(1), taps.narrow(1, 1 + row, 2 - row).sum(1)}, 1);
    for (const int64_t column : {0, 1}) {
      phases.push_back(
          at::stack({rows.narrow(2, 0, 1 + column).sum(2), rows.narrow(2, 1 + column, 2 - column).sum(2)}, 2));
    }
  }
  return at::cat(phases).to(weight.scalar_type());
}

at::Tensor reference_corner_patches(const at::Tensor& x) {
  check_corner_patches(x);
  const at::Tensor padded = at::constant_pad_nd(x, {0, 0, 1, 1, 1, 1});
  std::vector<at::Tensor> pixels;
  for (const int64_t row : {0, 1}) {
    for (const int64_t column : {0, 1}) {
      pixels.push_back(padded.narrow(1, row, x.size(1) + 1).narrow(2, column, x.size(2) + 1));
    }
  }
  return at::cat(pixels, 3);
}

at::Tensor reference_join_channels(const at::Tensor& left, const at::Tensor& right) {
  check_join_channels(left, right);
  return at::cat({left, right}, 2);
}

at::Tensor reference_join_phases(const at::Tensor& x, const Optional& bias) {
  check_join_phases(x, bias);
  const int64_t height = x.size(1) - 1;
  const int64_t width = x.size(2) - 1;
  const at::Tensor phases = wide(x).unflatten(3, {2, 2, -1});
  at::Tensor y = at::empty({x.size(0), height, 2, width, 2, x.size(3) / 4}, phases.options());
  for (const int64_t row : {0, 1}) {
    for (const int64_t column : {0, 1}) {
      y.select(2, row).select(3, column).copy_(
          phases.narrow(1, row, height).narrow(2, column, width).select(3, row).select(3, column));
    }
  }
  if (bias.has_value()) y += wide(*bias);
  return y.view({x.size(0), 2 * height, 2 * width, x.size(3) / 4}).to(x.scalar_type());
}

}  // namespace

TORCH_LIBRARY_IMPL(animatediff, CPU, library) {
  library.impl("token_group_norm", reference_group_norm);
  library.impl("token_layer_norm", reference_layer_norm);
  library.impl("gated_gelu", reference_gated_gelu);
  library.impl("gated_linear", reference_gated_linear);
  library.impl("add_bias_residual_", reference_add_bias_residual_);
  library.impl("temporal_attention", reference_temporal_attention);
  library.impl("head_attention", reference_head_attention);
  library.impl("linear_residual", reference_linear_residual);
  library.impl("phase_weights", reference_phase_weights);
  library.impl("corner_patches", reference_corner_patches);
  library.impl("join_channels", reference_join_channels);
  library.impl("join_phases", reference_join_phases);
}

}  // namespace animatediff::operators
