// The operators of engine/operators/operators.h on tensors of CUDA: checks, memory for results, and the kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "kernels.h"

namespace animatediff::cuda {

using Optional = std::optional<at::Tensor>;

/** LibTorch's current stream on the device of x. */
Queue queue_of(const at::Tensor& x);

at::Tensor token_group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& shift, int64_t samples, int64_t groups, double epsilon, bool silu);
at::Tensor token_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& positions, double epsilon);
at::Tensor gated_gelu(const at::Tensor& x, const Optional& bias);
at::Tensor gated_linear(const at::Tensor& x, const at::Tensor& weight, const Optional& bias);
at::Tensor add_bias_residual_(const at::Tensor& x, const Optional& bias, const at::Tensor& residual);
at::Tensor temporal_attention(const at::Tensor& qkv, int64_t heads);
at::Tensor head_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);
at::Tensor linear_residual(const at::Tensor& x, const at::Tensor& weight, const Optional& bias,
                           const at::Tensor& residual, const at::Tensor& out);
at::Tensor phase_weights(const at::Tensor& weight);
at::Tensor corner_patches(const at::Tensor& x);
at::Tensor join_channels(const at::Tensor& left, const at::Tensor& right);
at::Tensor join_phases(const at::Tensor& x, const Optional& bias);

}  // namespace animatediff::cuda
