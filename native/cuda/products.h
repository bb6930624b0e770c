// Products of matrices by cuBLASLt.
#pragma once

#include <cstddef>

#include "kernels.h"

namespace animatediff::cuda {

/** out [rows, outputs] = x [rows, inputs] weight [outputs, inputs]^T + bias [outputs] + residual; row-major. */
struct LinearResidual {
  int64_t rows;
  int64_t inputs;
  int64_t outputs;
  const void* x;
  const void* weight;
  /** May be null. */
  const void* bias;
  const void* residual;
  /** May be `residual`. */
  void* out;
};

/** Gives memory on the device that stays until the work that is queued next is done. */
class Workspace {
 public:
  virtual void* take(size_t bytes) = 0;

 protected:
  ~Workspace() = default;
};

/** Sums in float32. Null, or why nothing was queued. */
const char* linear_residual(Type type, const LinearResidual& call, const Queue& queue, Workspace& workspace);

}  // namespace animatediff::cuda
