// Kernels of norm.cc; kernels.h says what they do.
#pragma once

#include "kernels.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

void moments(Element type, const void* x, int64_t rows, int64_t channels, const float* pivot, double* sums,
             double* squares);
void scale_rows(Element type, const void* x, void* y, int64_t rows, int64_t channels, const float* scale,
                const float* offset, bool silu);
void layer_norm(Element type, const void* x, void* y, int64_t rows, int64_t channels, const float* weight,
                const float* bias, float epsilon, const float* added);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
