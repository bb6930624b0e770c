// The gate of the feed-forward layers.
#include "activation.h"

#include "gelu.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

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
