// Tensors of callers without a copy.
#pragma once

#include <ATen/ops/from_blob.h>

#include "animatediff.h"
#include "dtype.h"

namespace animatediff {

/** A view that is only read; from_blob takes a mutable pointer. Valid while the caller's memory is. */
inline at::Tensor view_tensor(const ad_tensor& tensor) {
  const at::IntArrayRef shape(tensor.shape, static_cast<size_t>(tensor.dims));
  return at::from_blob(const_cast<void*>(tensor.data), shape, at::TensorOptions().dtype(scalar_type(tensor.dtype)));
}

}  // namespace animatediff
