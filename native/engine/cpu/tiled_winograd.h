// 3x3 convolutions on tiles of bfloat16 with 4/9 of the multiplications (kernels/tiled_winograd.cc).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace animatediff::cpu {

/** Whether the layer has enough channels, and x [n, in, h, w] enough pixels, for the transforms to pay, at stride 1. */
bool patches_pay(const at::Tensor& x, const at::Tensor& weight);

/**
 * The convolution of x, channels-last, with stride 1 and padding 1, by a packed `patch_matrix` (patches.h); plus
 * `added` in the shape of the output, which may be undefined. Weights are transformed anew at each call, some at a
 * time.
 */
at::Tensor tiled_winograd(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                          const at::Tensor& added);

}  // namespace animatediff::cpu
