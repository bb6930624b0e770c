// GEGLU in one kernel, for compute capability 9.0.
#pragma once

#include "kernels.h"

namespace animatediff::cuda {

struct GatedLinear {
  int64_t rows;
  int inputs;
  int hidden;
  /** [rows, inputs]. */
  const void* x;
  /** [2 * hidden, inputs]: values, then gates. */
  const void* weight;
  /** [2 * hidden] or null. */
  const void* bias;
  /** [rows, hidden]. */
  void* y;
};

/** y = a * gelu(b) where a and b are the halves of x weight^T + bias. 16-bit elements, widths multiples of 8. */
const char* gated_linear(Type type, const GatedLinear& call, const Queue& queue);

}  // namespace animatediff::cuda
