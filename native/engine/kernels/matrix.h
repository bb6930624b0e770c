// Products with a matrix that is packed in tiles: linear layers, and convolutions as sums over what the kernel covers.
#pragma once

#include "kernels.h"
#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

int64_t product_scratch(const TiledProduct& product, int64_t tiles);
void multiply_rows(const TiledProduct& product, const RowTile* rows, int64_t tiles, void* scratch);

/**
 * Sums of `rows` rows, whole tiles `stride` elements apart, with `steps` steps of one panel: [rows, 32], where the room
 * of an odd number of tiles is that of the next even one. `places` as in TiledProduct. Tile registers must be set.
 */
void multiply_with_panel(const BFloat16* x, int64_t rows, int64_t stride, const BFloat16* panel, const int64_t* places,
                         int64_t steps, float* sums);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
