// Kernels of activation.cc; kernels.h says what they do.
#pragma once

#include "kernels.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

void gated_gelu(Element type, const void* x, void* y, int64_t rows, int64_t channels);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
