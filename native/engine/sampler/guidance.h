// Classifier-free guidance, Ho and Salimans, arXiv 2207.12598.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

namespace animatediff {

/** `output` [2 * batch, …] holds the unconditional half first; returns uncond + scale * (cond - uncond). */
inline at::Tensor guide(const at::Tensor& output, double scale) {
  const int64_t batch = output.size(0) / 2;
  const at::Tensor unconditional = output.narrow(0, 0, batch);
  return unconditional + scale * (output.narrow(0, batch, batch) - unconditional);
}

}  // namespace animatediff
