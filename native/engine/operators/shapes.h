// What the implementations of an operator check alike.
#pragma once

#include <ATen/core/Tensor.h>

#include "operators.h"

namespace animatediff::operators {

inline void check_operand(const char* operation, const at::Tensor& x, int64_t dimensions) {
  TORCH_CHECK_VALUE(x.dim() == dimensions && x.is_contiguous() && x.numel() > 0, "animatediff::", operation,
                    " expects a row-major tensor of ", dimensions, " dimensions that is not empty, but got sizes ",
                    x.sizes(), " and strides ", x.strides(), ".");
  const auto type = x.scalar_type();
  TORCH_CHECK_TYPE(type == at::kFloat || type == at::kHalf || type == at::kBFloat16, "animatediff::", operation,
                   " takes float32, float16 and bfloat16, but got ", type, ".");
}

inline void check_beside(const char* operation, const at::Tensor& x, const Optional& given, at::IntArrayRef sizes) {
  if (!given.has_value()) return;
  TORCH_CHECK_VALUE(given->sizes() == sizes && given->is_contiguous() && given->scalar_type() == x.scalar_type() &&
                        given->device() == x.device(),
                    "animatediff::", operation, " expects a row-major tensor ", sizes, " of ", x.scalar_type(), " on ",
                    x.device(), " beside its input, but got ", given->sizes(), " of ", given->scalar_type(), " on ",
                    given->device(), ".");
}

inline void check_group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             const Optional& shift, int64_t samples, int64_t groups) {
  constexpr const char* kName = "token_group_norm";
  check_operand(kName, x, 3);
  check_beside(kName, x, weight, {x.size(2)});
  check_beside(kName, x, bias, {x.size(2)});
  const int64_t shifts = shift.has_value() && shift->dim() == 2 ? shift->size(0) : 1;
  check_beside(kName, x, shift, {shifts, x.size(2)});
  TORCH_CHECK_VALUE(samples > 0 && x.size(0) % samples == 0 && shifts > 0 && samples % shifts == 0 && groups > 0 &&
                        x.size(2) % groups == 0,
                    "animatediff::token_group_norm cannot divide ", x.sizes(), " into ", samples, " samples and ",
                    groups, " groups with ", shifts, " shifts.");
}

inline void check_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             const Optional& positions) {
  constexpr const char* kName = "token_layer_norm";
  check_operand(kName, x, 3);
  check_beside(kName, x, weight, {x.size(2)});
  check_beside(kName, x, bias, {x.size(2)});
  check_beside(kName, x, positions,
               {positions.has_value() && positions->dim() == 2 ? positions->size(0) : 1, x.size(2)});
}

inline void check_gated_gelu(const at::Tensor& x, const Optional& bias) {
  check_operand("gated_gelu", x, 3);
  TORCH_CHECK_VALUE(x.size(2) % 2 == 0, "animatediff::gated_gelu cannot halve ", x.sizes(), ".");
  check_beside("gated_gelu", x, bias, {x.size(2)});
}

inline void check_gated_linear(const at::Tensor& x, const at::Tensor& weight, const Optional& bias) {
  constexpr const char* kName = "gated_linear";
  check_operand(kName, x, 3);
  check_operand(kName, weight, 2);
  TORCH_CHECK_VALUE(weight.size(0) % 2 == 0, "animatediff::gated_linear cannot halve ", weight.sizes(), ".");
  check_beside(kName, x, weight, {weight.size(0), x.size(2)});
  check_beside(kName, x, bias, {weight.size(0)});
}

inline void check_add_bias_residual(const at::Tensor& x, const Optional& bias, const at::Tensor& residual) {
  check_operand("add_bias_residual_", x, 3);
  check_beside("add_bias_residual_", x, bias, {x.size(2)});
  check_beside("add_bias_residual_", x, residual, x.sizes());
}

/** Returns the width of a head. */
inline int64_t check_temporal_attention(const at::Tensor& qkv, int64_t heads) {
  check_operand("temporal_attention", qkv, 4);
  TORCH_CHECK_VALUE(heads > 0 && qkv.size(3) % (3 * heads) == 0 && qkv.size(1) <= 32,
                    "animatediff::temporal_attention cannot divide ", qkv.sizes(), " into ", heads,
                    " heads of queries, keys and values over at most 32 frames.");
  return qkv.size(3) / (3 * heads);
}

inline void check_head_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  TORCH_CHECK_VALUE(q.dim() == 4 && k.dim() == 4 && v.sizes() == k.sizes() && q.size(0) == k.size(0) &&
                        q.size(2) == k.size(2) && q.size(3) == k.size(3) && q.numel() > 0 && k.numel() > 0 &&
                        q.stride(3) == 1 && k.stride(3) == 1 && v.stride(3) == 1 &&
                        q.scalar_type() == k.scalar_type() && q.scalar_type() == v.scalar_type(),
                    "animatediff::head_attention expects [n, tokens, heads, width] three times, but got ", q.sizes(),
                    ", ", k.sizes(), " and ", v.sizes(), ".");
}

inline void check_linear_residual(const at::Tensor& x, const at::Tensor& weight, const Optional& bias,
                                  const at::Tensor& residual, const at::Tensor& out) {
  constexpr const char* kName = "linear_residual";
  check_operand(kName, x, 3);
  check_operand(kName, weight, 2);
  check_beside(kName, x, weight, {weight.size(0), x.size(2)});
  check_beside(kName, x, bias, {weight.size(0)});
  check_beside(kName, x, residual, {x.size(0), x.size(1), weight.size(0)});
  check_beside(kName, x, out, residual.sizes());
}

inline void check_phase_weights(const at::Tensor& weight) {
  check_operand("phase_weights", weight, 4);
  TORCH_CHECK_VALUE(weight.size(1) == 3 && weight.size(2) == 3,
                    "animatediff::phase_weights expects [out, 3, 3, in], but got ", weight.sizes(), ".");
}

inline void check_corner_patches(const at::Tensor& x) { check_operand("corner_patches", x, 4); }

inline void check_join_channels(const at::Tensor& left, const at::Tensor& right) {
  check_operand("join_channels", left, 3);
  check_operand("join_channels", right, 3);
  check_beside("join_channels", left, right, {left.size(0), left.size(1), right.size(2)});
}

inline void check_join_phases(const at::Tensor& x, const Optional& bias) {
  check_operand("join_phases", x, 4);
  TORCH_CHECK_VALUE(x.size(1) > 1 && x.size(2) > 1 && x.size(3) % 4 == 0,
                    "animatediff::join_phases expects [n, h + 1, w + 1, 4 * channels], but got ", x.sizes(), ".");
  check_beside("join_phases", x, bias, {x.size(3) / 4});
}

}  // namespace animatediff::operators
