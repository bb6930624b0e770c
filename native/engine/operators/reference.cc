// The operators on the CPU, by the CPU's own kernels in float32 whatever the type of the tensors: what the CUDA
// implementations are compared with.
#include <ATen/TensorOperators.h>
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

}  // namespace

TORCH_LIBRARY_IMPL(animatediff, CPU, library) {
  library.impl("token_group_norm", reference_group_norm);
  library.impl("token_layer_norm", reference_layer_norm);
  library.impl("gated_gelu", reference_gated_gelu);
  library.impl("add_bias_residual_", reference_add_bias_residual_);
  library.impl("temporal_attention", reference_temporal_attention);
}

}  // namespace animatediff::operators
