// 3x3 convolutions with a quarter of the multiplications (kernels/winograd.cc), in place of oneDNN's direct ones.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "part.h"

namespace animatediff::cpu {

/** Whether a Conv2d with a weight of this shape [out, in, h, w] gains from it where pictures are large enough. */
bool suits_winograd(at::IntArrayRef shape, c10::ScalarType type, int64_t stride, int64_t padding);

/** The weight [out, in, 3, 3] with memory in the order [in, 3, 3, out]; it stays the dense tensor that it was. */
at::Tensor winograd_order(const at::Tensor& weight);

/** Whether `winograd_order` made this weight. */
bool has_winograd_order(const at::Tensor& weight);

/** Whether x [n, in, h, w] has enough pixels for the transformed weights to pay. */
bool pays(const at::Tensor& x);

/**
 * The convolution of x, channels-last, with a weight in that order; plus `added`, which may be undefined. `doubled`: of
 * x with height and width doubled, every pixel four times, which is never in memory.
 */
at::Tensor winograd_convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                                const at::Tensor& added, bool doubled = false);

}  // namespace animatediff::cpu
