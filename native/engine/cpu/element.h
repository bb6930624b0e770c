// Element type of a tensor as the kernels name it.
#pragma once

#include <ATen/core/Tensor.h>

#include "../kernels/kernels.h"

namespace animatediff::cpu {

/** x is float32 or bfloat16. */
inline Element element(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? Element::kBFloat16 : Element::kFloat32;
}

}  // namespace animatediff::cpu
