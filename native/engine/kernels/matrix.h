// Products with a matrix that is packed in tiles: linear layers, and convolutions as sums over what the kernel covers.
#pragma once

#include "kernels.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

int64_t product_scratch(const TiledProduct& product, int64_t tiles);
void multiply_rows(const TiledProduct& product, const RowTile* rows, int64_t tiles, void* scratch);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
