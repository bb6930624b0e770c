// Turns a loaded graph into one that runs with this package's operators. Only where `kernels_problem` finds none.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace animatediff::cuda {

/**
 * Replaces the forward() of every module that modules.h knows by a single operator. Must come before the first call.
 * Graph, inputs and outputs of the whole network stay as they were.
 */
void replace_modules(const torch::jit::Module& network);

/** Lays weights out as the replaced modules read them best, where they do not lie so yet. */
void pack_weights(const torch::jit::Module& network);

/** A weight as the archive has it: row-major, in a storage of its own. Exact. */
at::Tensor unpacked(const at::Tensor& weight);

}  // namespace animatediff::cuda
