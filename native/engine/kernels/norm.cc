// Group and layer normalisation.
#include "norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

// Float32 sums stay exact enough over this many rows; then they go into the float64 ones.
constexpr int64_t kRowsAtOnce = 64;

template <typename T>
void moments_of(const T* x, int64_t rows, int64_t channels, const float* pivot, double* sums, double* squares) {
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) {
    const int64_t end = std::min(rows, first + kRowsAtOnce);
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      const Floats middle = load(pivot + c);
      Floats sum{};
      Floats square{};
      for (int64_t row = first; row < end; ++row) {
        const Floats value = load(x + row * channels + c) - middle;
        sum += value;
        square += value * value;
      }
      for (int64_t i = 0; i < kLanes; ++i) {
        sums[c + i] += sum[i];
        squares[c + i] += square[i];
      }
    }
    for (; c < channels; ++c) {
      float sum = 0;
      float square = 0;
      for (int64_t row = first; row < end; ++row) {
        const float value = one(x + row * channels + c) - pivot[c];
        sum += value;
        square += value * value;
      }
      sums[c] += sum;
      squares[c] += square;
    }
  }
}

template <bool Silu, typename T>
void scale_rows_of(const T* x, T* y, int64_t rows, int64_t channels, const float* scale, const float* offset) {
  const int64_t whole = channels / kLanes * kLanes;
  const int64_t rest = channels - whole;
  const auto apply = [&](Floats value, Floats factor, Floats shift) {
    const Floats scaled = value * factor + shift;
    if constexpr (Silu) return silu(scaled);
    return scaled;
  };
  const Floats last_scale = rest > 0 ? load_some(scale + whole, rest) : Floats{};
  const Floats last_offset = rest > 0 ? load_some(offset + whole, rest) : Floats{};
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels) {
    for (int64_t c = 0; c < whole; c += kLanes) store(y + c, apply(load(x + c), load(scale + c), load(offset + c)));
    if (rest > 0) store_some(y + whole, apply(load_some(x + whole, rest), last_scale, last_offset), rest);
  }
}

template <typename T>
void layer_norm_of(const T* x, T* y, int64_t rows, int64_t channels, const float* weight, const float* bias,
                   float epsilon, const float* added) {
  const int64_t whole = channels / kLanes * kLanes;
  const int64_t rest = channels - whole;
  std::vector<float> total(static_cast<size_t>(channels));
  for (int64_t c = 0; c < channels; ++c) total[c] = bias[c] + (added != nullptr ? added[c] : 0.0F);
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels) {
    Floats sums{};
    for (int64_t c = 0; c < whole; c += kLanes) sums += load(x + c);
    float mean = sum(sums);
    for (int64_t c = whole; c < channels; ++c) mean += one(x + c);
    mean /= static_cast<float>(channels);
    Floats squares{};
    for (int64_t c = 0; c < whole; c += kLanes) {
      const Floats value = load(x + c) - mean;
      squares += value * value;
    }
    float variance = sum(squares);
    for (int64_t c = whole; c < channels; ++c) variance += (one(x + c) - mean) * (one(x + c) - mean);
    const float factor = 1.0F / std::sqrt(variance / static_cast<float>(channels) + epsilon);
    for (int64_t c = 0; c < whole; c += kLanes) {
      store(y + c, (load(x + c) - mean) * factor * load(weight + c) + load(total.data() + c));
    }
    if (rest > 0) {
      const Floats value = (load_some(x + whole, rest) - mean) * factor * load_some(weight + whole, rest);
      store_some(y + whole, value + load_some(total.data() + whole, rest), rest);
    }
  }
}

const BFloat16* halves(const void* pointer) { return static_cast<const BFloat16*>(pointer); }
const float* floats(const void* pointer) { return static_cast<const float*>(pointer); }

}  // namespace

void moments(Element type, const void* x, int64_t rows, int64_t channels, const float* pivot, double* sums,
             double* squares) {
  if (type == Element::kFloat32) moments_of(floats(x), rows, channels, pivot, sums, squares);
  else moments_of(halves(x), rows, channels, pivot, sums, squares);
}

void scale_rows(Element type, const void* x, void* y, int64_t rows, int64_t channels, const float* scale,
                const float* offset, bool silu) {
  if (type == Element::kFloat32) {
    auto* const target = static_cast<float*>(y);
    if (silu) scale_rows_of<true>(floats(x), target, rows, channels, scale, offset);
    else scale_rows_of<false>(floats(x), target, rows, channels, scale, offset);
  } else {
    auto* const target = static_cast<BFloat16*>(y);
    if (silu) scale_rows_of<true>(halves(x), target, rows, channels, scale, offset);
    else scale_rows_of<false>(halves(x), target, rows, channels, scale, offset);
  }
}

void layer_norm(Element type, const void* x, void* y, int64_t rows, int64_t channels, const float* weight,
                const float* bias, float epsilon, const float* added) {
  if (type == Element::kFloat32) {
    layer_norm_of(floats(x), static_cast<float*>(y), rows, channels, weight, bias, epsilon, added);
  } else {
    layer_norm_of(halves(x), static_cast<BFloat16*>(y), rows, channels, weight, bias, epsilon, added);
  }
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
