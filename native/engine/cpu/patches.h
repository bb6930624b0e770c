// 3x3 convolutions of small pictures as products of matrices.
//
// oneDNN's direct convolution gives each row of a picture a tile of its own; where AMX has sixteen rows to a tile and a
// picture has four, three quarters of them are empty. Gathering the pixels under the kernel costs less than that.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace animatediff::cpu {

/** Whether a Conv2d with a weight of this shape [out, in, h, w] gains from it where pictures are small. */
bool suits_patches(at::IntArrayRef shape, c10::ScalarType type, int64_t padding);

/** Whether the outputs of a convolution of x [n, in, h, w] are small enough for patches to pay. */
bool is_small(const at::Tensor& x, int64_t stride);

/** The weight [out, in, 3, 3] as the matrix [out, 9 * in] that patches are multiplied with. */
at::Tensor patch_matrix(const at::Tensor& weight);

/**
 * The convolution of x, channels-last, with padding 1 and such a matrix, dense or packed for oneDNN's linear layers;
 * plus `added`, which may be undefined. Patches of at most 32 MB are held at once.
 */
at::Tensor patch_convolution(const at::Tensor& x, const at::Tensor& matrix, const std::optional<at::Tensor>& bias,
                             int64_t stride, const at::Tensor& added);

}  // namespace animatediff::cpu
