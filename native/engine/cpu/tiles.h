// Linear layers and convolutions on tiles of bfloat16 (kernels/matrix.cc), where the processor multiplies such tiles.
//
// A weight [out, in] is packed as [out / 32, in / 32, 2, 16, 32]: kernels.h says in which order. Of a gate's layer,
// whose outputs are values and behind them as many gates, a panel has 16 of each: [out / 32, in / 32, 1, 2, 16, 32].
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace animatediff::cpu {

/** Whether a layer with a weight of this shape [out, in] or [out, in, h, w] is faster so on this processor. */
bool suits_tiles(at::IntArrayRef shape, c10::ScalarType type);

/** A weight [out, in] in bfloat16 in that order; `out` and `in` divide by 32. */
at::Tensor tiled(const at::Tensor& weight, bool gated = false);

/** Whether `tiled` made this weight. */
bool is_tiled(const at::Tensor& weight);
bool is_gated(const at::Tensor& weight);

/** Outputs of a packed weight, those of a gate included. */
int64_t outputs_of(const at::Tensor& weight);

/** The weight [out, in] that was packed. Exact. */
at::Tensor untiled(const at::Tensor& weight);

/**
 * x [..., in] times a packed weight, plus `bias` [out] and `added` [..., out], which may be undefined. With a gated
 * weight the values times the exact GELU of the gates, [..., out / 2], and nothing can be added.
 */
at::Tensor tiled_product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                         const at::Tensor& added);

/** Whether `tiled_convolution` takes x [n, in, h, w]: the width of its output divides by 16. */
bool has_rows_of_tiles(const at::Tensor& x, int64_t stride);

/**
 * The 3x3 convolution of x, channels-last, with padding 1, by a packed `patch_matrix` (patches.h); plus `added` in the
 * shape of the output, which may be undefined. Rows of pictures are copied with a margin, some at a time.
 */
at::Tensor tiled_convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                             int64_t stride, const at::Tensor& added);

}  // namespace animatediff::cpu
