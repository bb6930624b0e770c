// 3x3 convolutions in bfloat16 with 4/9 of the multiplications (kernels/tiled_winograd.cc).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace animatediff::cpu {

/**
 * Whether a Conv2d with a weight of this shape [out, in, h, w] gains from it where pictures are large enough, on a
 * processor that multiplies bfloat16, but no tiles of it, for which all convolutions are packed in the same order.
 */
bool suits_patches(at::IntArrayRef shape, c10::ScalarType type, int64_t stride, int64_t padding);

/** Whether x [n, in, h, w] has enough channels and pixels for the transforms to pay, at stride 1. */
bool patches_pay(const at::Tensor& x, int64_t outputs);

/**
 * The convolution of x, channels-last, with stride 1 and padding 1, by a packed `patch_matrix` (patches.h); plus
 * `added` in the shape of the output, which may be undefined. Weights are transformed anew at each call, some at a
 * time. `doubled`: of x with height and width doubled, every pixel four times, which is never in memory.
 */
at::Tensor tiled_winograd(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                          const at::Tensor& added, bool doubled = false);

}  // namespace animatediff::cpu
