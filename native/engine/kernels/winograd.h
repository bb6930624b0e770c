// Kernels of winograd.cc; kernels.h says what they do.
#pragma once

#include "kernels.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

void winograd_weights(const Convolution3x3& layer, int64_t first_output, float* transformed);
void winograd_tiles(const Convolution3x3& layer, int64_t first_tile, int64_t count, float* transformed);
void winograd_outputs(const Convolution3x3& layer, int64_t first_tile, int64_t count, const float* tiles,
                      int64_t first_output, int64_t panels, const float* weights, float* products);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
