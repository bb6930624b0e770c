// Kernels of tiled_winograd.cc; kernels.h says what they do.
#pragma once

#include "kernels.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

void patch_weights(const TiledConvolution& layer, int64_t panel, void* transformed);
void patch_pixels(const TiledConvolution& layer, int64_t first, int64_t count, void* transformed);
int64_t patch_scratch(const TiledConvolution& layer, int64_t count, int64_t panels);
void patch_outputs(const TiledConvolution& layer, const Patches& patches, int64_t first_panel, int64_t panels,
                   const void* weights, void* scratch);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
