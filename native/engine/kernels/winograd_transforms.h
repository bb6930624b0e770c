// Winograd's transforms of rows: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308).
// F(4x4, 3x3) is their section 4.3; F(4x4, 2x2) is made the same way from the points 0, 1, -1, 2 and infinity. Matrices
// B, G and A are written out; a row of six or of five tells which of the two is meant.
#pragma once

#include <array>
#include <cstdint>

#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

using Six = std::array<Floats, 6>;
using Five = std::array<Floats, 5>;

/** B^T x. */
inline Six tile_transform(const Six& x) {
  const Floats even = x[4] - 4.0F * x[2];
  const Floats odd = x[3] - 4.0F * x[1];
  const Floats near = x[4] - x[2];
  const Floats far = 2.0F * (x[3] - x[1]);
  return {4.0F * x[0] - 5.0F * x[2] + x[4], even + odd, even - odd, near + far, near - far,
          4.0F * x[1] - 5.0F * x[3] + x[5]};
}

inline Five tile_transform(const Five& x) {
  const Floats odd = x[3] - x[1];
  return {2.0F * (x[0] - x[2]) + odd, odd - x[1] - x[2], odd + 3.0F * (x[1] - x[2]), odd, x[4] - x[2] - 2.0F * odd};
}

/** G x. */
inline Six weight_transform(const Floats& a, const Floats& b, const Floats& c) {
  const Floats outer = (a + c) * (-1.0F / 6);
  const Floats middle = b * (1.0F / 6);
  const Floats wide = a * (1.0F / 24) + c * (1.0F / 6);
  const Floats half = b * (1.0F / 12);
  return {a * 0.25F, outer - middle, outer + middle, wide + half, wide - half, c};
}

inline Five weight_transform(const Floats& a, const Floats& b) {
  return {a * 0.5F, (a + b) * -0.5F, (b - a) * (1.0F / 6), a * (1.0F / 6) + b * (1.0F / 3), b};
}

/** A^T x. */
inline std::array<Floats, 4> output_transform(const Six& x) {
  const Floats sum1 = x[1] + x[2];
  const Floats difference1 = x[1] - x[2];
  const Floats sum2 = x[3] + x[4];
  const Floats difference2 = x[3] - x[4];
  return {x[0] + sum1 + sum2, difference1 + 2.0F * difference2, sum1 + 4.0F * sum2,
          difference1 + 8.0F * difference2 + x[5]};
}

inline std::array<Floats, 4> output_transform(const Five& x) {
  const Floats sum = x[1] + x[2];
  const Floats difference = x[1] - x[2];
  return {x[0] + sum + x[3], difference + 2.0F * x[3], sum + 4.0F * x[3], difference + 8.0F * x[3] + x[4]};
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
