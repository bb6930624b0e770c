// Products with a matrix that is packed in tiles: linear layers, and convolutions as sums over what the kernel covers.
#pragma once

#include "kernels.h"
#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

int64_t product_scratch(const TiledProduct& product, int64_t tiles);
void multiply_rows(const TiledProduct& product, const RowTile* rows, int64_t tiles, void* scratch);

/** Panels of a packed matrix beside each other, `stride` elements apart, each of `steps` steps. */
struct Panels {
  const BFloat16* data;
  int64_t stride;
  int64_t count;
  int64_t steps;
};

/**
 * Sums of `rows` rows, whole tiles `stride` elements apart, with each panel: [rows, 32], `sums_stride` floats apart,
 * where the room of an odd number of tiles is that of the next even one. `places` as in TiledProduct. Tile registers
 * must be set.
 */
void multiply_with_panels(const BFloat16* x, int64_t rows, int64_t stride, const Panels& panels, const int64_t* places,
                          float* sums, int64_t sums_stride);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
