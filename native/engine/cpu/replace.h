// Turns a loaded graph into one that runs fast on the CPU.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace animatediff::cpu {

/**
 * Replaces the forward() of every module that modules.h knows by a single operator. Must come before the first call.
 * Only for float32 and bfloat16. Graph, inputs and outputs of the whole network stay as they were.
 */
void replace_modules(const torch::jit::Module& network);

/** Packs the weights of the replaced modules that are not packed yet. */
void pack_weights(const torch::jit::Module& network);

}  // namespace animatediff::cpu
