// Random tensors for tests of kernels.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "../engine/kernels/kernels.h"

namespace check {

/** A tensor of either element type, with its values as the type holds them. */
class Values {
 public:
  Values(animatediff::Element type, size_t count, unsigned seed, float scale = 1)
      : type_(type), bytes_(count * width()) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < count; ++i) put(i, normal(generator) * scale);
  }

  [[nodiscard]] double operator[](size_t i) const {
    if (type_ == animatediff::Element::kFloat32) return read<float>(i);
    return std::bit_cast<float>(static_cast<uint32_t>(read<uint16_t>(i)) << 16);
  }

  [[nodiscard]] const char* at(size_t i) const { return bytes_.data() + i * width(); }
  [[nodiscard]] char* at(size_t i) { return bytes_.data() + i * width(); }

  /** Half a unit in the last place of a value of this size, and float32's own error. */
  [[nodiscard]] double tolerance(double value) const {
    return (type_ == animatediff::Element::kFloat32 ? 0 : 1.0 / 256 * std::abs(value)) + 3e-6 * (1 + std::abs(value));
  }

 private:
  [[nodiscard]] size_t width() const { return type_ == animatediff::Element::kFloat32 ? 4 : 2; }

  void put(size_t i, float value) {
    // Truncated: which of two neighbours stands there does not matter.
    const auto bits = std::bit_cast<uint32_t>(value);
    const auto half = static_cast<uint16_t>(bits >> 16);
    std::memcpy(at(i), type_ == animatediff::Element::kFloat32 ? static_cast<const void*>(&bits) : &half, width());
  }

  template <typename T>
  [[nodiscard]] T read(size_t i) const {
    T value;
    std::memcpy(&value, at(i), sizeof(value));
    return value;
  }

  animatediff::Element type_;
  std::vector<char> bytes_;
};

inline std::vector<float> floats(size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

}  // namespace check
