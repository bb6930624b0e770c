// Looks for infinity and NaN: exponent bits that are all set.
#include "finite.h"

#include "vector.h"

namespace animatediff::ANIMATEDIFF_KERNELS {
namespace {

// A register's worth of bit patterns. Their largest exponent is kept, which takes no branch and no narrower mask.
template <typename Bits>
struct Pattern {
  using Vector [[gnu::vector_size(64)]] = Bits;
  static constexpr int64_t kCount = 64 / sizeof(Bits);
};

template <typename Bits>
bool finite_bits(const Bits* values, int64_t count, Bits exponent) {
  using Vector = typename Pattern<Bits>::Vector;
  constexpr int64_t kCount = Pattern<Bits>::kCount;
  Vector largest{};
  int64_t i = 0;
  for (; i + kCount <= count; i += kCount) {
    Vector bits;
    std::memcpy(&bits, values + i, sizeof(bits));
    bits &= exponent;
    largest = bits > largest ? bits : largest;
  }
  bool finite = true;
  for (int64_t lane = 0; lane < kCount; ++lane) finite &= largest[lane] != exponent;
  for (; i < count; ++i) finite &= (values[i] & exponent) != exponent;
  return finite;
}

}  // namespace

bool finite_16(const void* values, int64_t count, uint16_t exponent) {
  return finite_bits(static_cast<const uint16_t*>(values), count, exponent);
}

bool finite_32(const void* values, int64_t count, uint32_t exponent) {
  return finite_bits(static_cast<const uint32_t*>(values), count, exponent);
}

}  // namespace animatediff::ANIMATEDIFF_KERNELS
