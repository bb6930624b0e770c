// Gaussian noise that is the same for a seed on every device.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace animatediff {

/** LibTorch's CPU generator with an unsigned 64-bit seed (the generator itself uses the low 32 bits). */
at::Generator cpu_generator(uint64_t seed);

/**
 * Standard normal float32 of `shape` [batch, …] on the CPU. Every clip of the batch is drawn from its own generator
 * as a tensor [1, …], so that it does not depend on its neighbours.
 */
at::Tensor gaussian(at::IntArrayRef shape, std::vector<at::Generator>& generators);

}  // namespace animatediff
