// 3x3 convolutions as products of matrices, for pictures whose rows do not fill tiles (tiles.h): gathering the pixels
// under the kernel costs less than tiles that are partly empty.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace animatediff::cpu {

/** The weight [out, in, 3, 3] as the matrix [out, 9 * in] that patches are multiplied with. */
at::Tensor patch_matrix(const at::Tensor& weight);

/**
 * The convolution of x, channels-last, with padding 1 and such a matrix, dense or packed; plus `added`, which may be
 * undefined. Patches of at most 32 MB are held at once.
 */
at::Tensor patch_convolution(const at::Tensor& x, const at::Tensor& matrix, const std::optional<at::Tensor>& bias,
                             int64_t stride, const at::Tensor& added);

}  // namespace animatediff::cpu
