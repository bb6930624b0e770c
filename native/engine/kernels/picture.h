// Where the pixels lie that a tile of a convolution's output stands for, and those that it sees. Of a doubled picture
// each part is convolved by itself: kernels.h says what `part` means.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

/** First pixel of a tile, in the picture or in a part of it. */
struct Place {
  int64_t image, y, x;
};

/** Of tiles of `Side` pixels by as many. */
template <int64_t Side, typename Layer>
Place place_of(const Layer& layer, int64_t tile) {
  const int64_t across = (layer.width + Side - 1) / Side;
  const int64_t down = (layer.height + Side - 1) / Side;
  return {tile / (across * down), tile / across % down * Side, tile % across * Side};
}

/** Whether the part of y that is written has odd rows, and odd columns. */
template <typename Layer>
bool odd_rows(const Layer& layer) {
  return layer.part >= 2;
}

template <typename Layer>
bool odd_columns(const Layer& layer) {
  return layer.part > 0 && layer.part % 2 == 1;
}

/** First pixel of x that a tile sees: above and before its own, except where those are odd ones of a doubled x. */
template <typename Layer>
Place seen_from(const Layer& layer, const Place& place) {
  return {place.image, place.y - (odd_rows(layer) ? 0 : 1), place.x - (odd_columns(layer) ? 0 : 1)};
}

/** Number of a pixel of x, or -1 outside of it. */
template <typename Layer>
int64_t seen_pixel(const Layer& layer, int64_t image, int64_t y, int64_t x) {
  if (y < 0 || y >= layer.height || x < 0 || x >= layer.width) return -1;
  return (image * layer.height + y) * layer.width + x;
}

/** Number of the pixel of y that a pixel of a tile is. */
template <typename Layer>
int64_t written_pixel(const Layer& layer, int64_t image, int64_t y, int64_t x) {
  if (layer.part < 0) return (image * layer.height + y) * layer.width + x;
  return 2 * ((image * layer.height + y) * 2 + layer.part / 2) * layer.width + 2 * x + layer.part % 2;
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
