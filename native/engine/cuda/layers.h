// Layers of modules.h on tokens, [n, h * w, channels], which are the memory of channels-last pictures.
#pragma once

#include "../cpu/layers.h"
#include "../cpu/residual.h"
#include "../operators/operators.h"
#include "modules.h"

namespace animatediff::cuda {

using cpu::channels_last;
using cpu::picture;
using cpu::tokens;
using operators::Optional;

/** The weight of a Linear or a 1x1 Conv2d as [out, in]. */
at::Tensor matrix(const Part& layer);

/** Linear layer or 1x1 convolution with its bias. */
at::Tensor project(const at::Tensor& x, const Part& layer);

/** The same, plus `residual` of the output's shape. */
at::Tensor project(const at::Tensor& x, const Part& layer, const at::Tensor& residual);

/** The same, written to `out`, which may be `residual`. */
at::Tensor project_onto(const at::Tensor& x, const Part& layer, const at::Tensor& residual, const at::Tensor& out);

/** Convolution of a channels-last picture without its bias, which the operator behind it adds. */
at::Tensor convolution_without_bias(const at::Tensor& x, const Part& layer);

/** GroupNorm of a channels-last picture by either class of layer; `samples` and `shift` as in operators.h. */
at::Tensor normalise_groups(const at::Tensor& x, const Part& layer, int64_t samples, bool silu = false,
                            const Optional& shift = std::nullopt);

at::Tensor normalise(const at::Tensor& x, const Part& layer, const Optional& positions = std::nullopt);

/** The 3x3 convolution of a channels-last picture that nearest-neighbour upsampling has made twice as large. */
at::Tensor upsampled_convolution(const at::Tensor& x, const Part& layer);

/** Adds a GEGLU feed-forward to x in place. `normed` is x after its LayerNorm. */
void add_gated_feed_forward(const Part& layers, const at::Tensor& normed, const at::Tensor& x);

/** Queries, keys and values of a self-attention without biases: [.., 3 * width]. */
at::Tensor fused_projection(const at::Tensor& x, const Part& attention);

/** Stores the three weights of a self-attention behind one another, so that one product serves all of them. */
void fuse_projections(const Part& attention);

}  // namespace animatediff::cuda
