// Tensors as the kernels take them.
#pragma once

#include <ATen/core/Tensor.h>

#include "operators.h"

namespace animatediff::cuda {

inline Type type_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kHalf: return Type::kFloat16;
    case at::kBFloat16: return Type::kBFloat16;
    default: return Type::kFloat32;
  }
}

inline const void* aligned(const at::Tensor& x) {
  const void* const data = x.const_data_ptr();
  TORCH_CHECK_VALUE(
      reinterpret_cast<uintptr_t>(data) % 16 == 0,
      "The CUDA kernels of animatediff-native take tensors that start at multiples of 16 bytes, but got a "
      "view ",
      x.sizes(), " at element ", x.storage_offset(), " of its storage.");
  return data;
}

inline const void* aligned(const Optional& x) { return x.has_value() ? aligned(*x) : nullptr; }

inline void* target(const at::Tensor& x) {
  static_cast<void>(aligned(x));
  return x.mutable_data_ptr();
}

/** Channels, or elements of a head, as the kernels take them. */
inline int whole_vectors(int64_t count) {
  TORCH_CHECK_VALUE(count % 8 == 0 && count <= 1 << 20,
                    "The CUDA kernels of animatediff-native take channels and head widths that are multiples of 8, but "
                    "got ",
                    count, ".");
  return static_cast<int>(count);
}

inline void check_queued(const char* problem) {
  TORCH_CHECK(problem == nullptr, "A CUDA kernel of animatediff-native was not started: ", problem, ".");
}

}  // namespace animatediff::cuda
