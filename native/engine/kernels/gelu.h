// The exact GELU.
#pragma once

#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

/** -y where x is below zero, else y. */
inline Floats with_sign_of(Floats x, Floats y) {
  return by_register(x, y, [](auto sign, auto value) { return sign < 0.0F ? -value : value; });
}

/** The error function to 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26. */
inline Floats error_function(Floats x) {
  const Floats size = with_sign_of(x, x);
  const Floats t = 1.0F / (size * 0.3275911F + 1.0F);
  Floats p = t * 1.061405429F - 1.453152027F;
  p = p * t + 1.421413741F;
  p = p * t - 0.284496736F;
  p = p * t + 0.254829592F;
  const Floats y = 1.0F - p * t * exponential(-size * size);
  return with_sign_of(x, y);
}

/** hidden * gelu(gate). */
inline Floats gated(Floats hidden, Floats gate) {
  return hidden * (gate * 0.5F * (error_function(gate * 0.70710678118654752F) + 1.0F));
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
