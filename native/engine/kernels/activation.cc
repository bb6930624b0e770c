// The gate of the feed-forward layers.
#include "activation.h"

#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

/** The error function to 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26. */
inline Floats error_function(Floats x) {
  const Floats size = x < 0.0F ? -x : x;
  const Floats t = 1.0F / (size * 0.3275911F + 1.0F);
  Floats p = t * 1.061405429F - 1.453152027F;
  p = p * t + 1.421413741F;
  p = p * t - 0.284496736F;
  p = p * t + 0.254829592F;
  const Floats y = 1.0F - p * t * exponential(-size * size);
  return x < 0.0F ? -y : y;
}

Floats gated(Floats hidden, Floats gate) {
  return hidden * (gate * 0.5F * (error_function(gate * 0.70710678118654752F) + 1.0F));
}

template <typename T>
void gated_gelu_of(const T* x, T* y, int64_t rows, int64_t channels) {
  const int64_t whole = channels / kLanes * kLanes;
  const int64_t rest = channels - whole;
  for (int64_t row = 0; row < rows; ++row, x += 2 * channels, y += channels) {
    for (int64_t c = 0; c < whole; c += kLanes) store(y + c, gated(load(x + c), load(x + channels + c)));
    if (rest == 0) continue;
    store_some(y + whole, gated(load_some(x + whole, rest), load_some(x + channels + whole, rest)), rest);
  }
}

}  // namespace

void gated_gelu(Element type, const void* x, void* y, int64_t rows, int64_t channels) {
  if (type == Element::kFloat32) {
    gated_gelu_of(static_cast<const float*>(x), static_cast<float*>(y), rows, channels);
  } else {
    gated_gelu_of(static_cast<const BFloat16*>(x), static_cast<BFloat16*>(y), rows, channels);
  }
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
