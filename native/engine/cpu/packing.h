// Weights in the order in which oneDNN's kernels, or the engine's own, read them.
#pragma once

#include <ATen/core/Tensor.h>

#include "part.h"

namespace animatediff::cpu {

/**
 * Whether layers of this type can be packed. float16 is left to the graphs as they are, and so is bfloat16 where
 * oneDNN refuses it: it wants AVX-512 or AVX-NE-CONVERT.
 */
bool packs(at::ScalarType type);

/**
 * Replaces the weight of a Linear or Conv2d by its packed form, unless it is packed already. The outputs of a `gated`
 * layer are values and behind them as many gates for `gated_gelu`, which may become a part of the layer (tiles.h).
 */
void pack(const Part& layer, bool gated = false);

/** Whether a Conv2d takes fewer multiplications for x [n, in, h, w] in the form that `packed_for` gives it. */
bool saves_products(const Part& layer, const at::Tensor& x);

/**
 * The weight of a packed Conv2d in the form, and where that counts in oneDNN's order, that is the fastest one for x
 * [n, in, h, w]; the layer keeps it. A weight that is not packed stays so.
 */
at::Tensor packed_for(const Part& layer, const at::Tensor& x);

/** The weight in the graph's own `shape` [out, in, ...], row-major. Exact. */
at::Tensor unpacked(const at::Tensor& weight, at::IntArrayRef shape);

}  // namespace animatediff::cpu
