// Weights in the order in which oneDNN's kernels read them.
#pragma once

#include <ATen/core/Tensor.h>

#include "part.h"

namespace animatediff::cpu {

/** Replaces the weight of a Linear or Conv2d by its packed form, unless it is packed already. */
void pack(const Part& layer);

/** The weight in the graph's own shape [out, in, ...], row-major. Exact. */
at::Tensor unpacked(const at::Tensor& weight);

}  // namespace animatediff::cpu
