// Sixteen float32 lanes, whatever the processor's registers hold: the compiler splits them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

// Set by CMakeLists.txt for each instruction set, so that no two of them share a symbol.
#ifndef ANIMATEDIFF_KERNELS
#error "Sources of kernels/ are compiled with ANIMATEDIFF_KERNELS set to a namespace."
#endif

namespace animatediff::ANIMATEDIFF_KERNELS {

inline constexpr int64_t kLanes = 16;

using Floats [[gnu::vector_size(64)]] = float;
using Integers [[gnu::vector_size(64)]] = int32_t;
using Words [[gnu::vector_size(64)]] = uint32_t;
using HalfWords [[gnu::vector_size(32)]] = uint16_t;

// What one register holds. Of `Floats` that are wider the compiler keeps arrays in memory, however short they are.
#if defined(__AVX512F__)
inline constexpr int64_t kRegisterLanes = 16;
#elif defined(__AVX__)
inline constexpr int64_t kRegisterLanes = 8;
#else
inline constexpr int64_t kRegisterLanes = 4;
#endif
using Register [[gnu::vector_size(kRegisterLanes * sizeof(float))]] = float;

/** bfloat16 as its bits. */
struct BFloat16 {
  uint16_t bits;
};

inline Floats broadcast(float value) { return Floats{} + value; }

inline Floats load(const float* source) {
  Floats value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}

inline Floats load(const BFloat16* source) {
  HalfWords half;
  std::memcpy(&half, source, sizeof(half));
  return std::bit_cast<Floats>(__builtin_convertvector(half, Words) << 16);
}

inline Register load_register(const float* source) {
  Register value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}

inline void store_register(float* target, Register value) { std::memcpy(target, &value, sizeof(value)); }

inline void store(float* target, Floats value) { std::memcpy(target, &value, sizeof(value)); }

// Rounds to nearest, ties to even; NaN stays NaN.
inline void store(BFloat16* target, Floats value) {
#ifdef __AVX512BF16__
  const __m256bh half = _mm512_cvtneps_pbh(std::bit_cast<__m512>(value));
  std::memcpy(target, &half, sizeof(half));
#else
  const Words bits = std::bit_cast<Words>(value);
  const Words rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  const Words quiet = (bits >> 16) | 0x40;
  const Words result = value == value ? rounded : quiet;
  const HalfWords half = __builtin_convertvector(result, HalfWords);
  std::memcpy(target, &half, sizeof(half));
#endif
}

inline float one(const float* source) { return *source; }
inline float one(const BFloat16* source) { return std::bit_cast<float>(static_cast<uint32_t>(source->bits) << 16); }

/** The first `count` of sixteen lanes; the others are 0. */
template <typename T>
inline Floats load_some(const T* source, int64_t count) {
  T buffer[kLanes] = {};
  std::memcpy(buffer, source, static_cast<size_t>(count) * sizeof(T));
  return load(buffer);
}

template <typename T>
inline void store_some(T* target, Floats value, int64_t count) {
  T buffer[kLanes];
  store(buffer, value);
  std::memcpy(target, buffer, static_cast<size_t>(count) * sizeof(T));
}

/** `f` of one register after the other: where it compares and chooses, the compiler splits wider vectors into lanes. */
template <typename F>
inline Floats by_register(Floats a, Floats b, F f) {
  if constexpr (kRegisterLanes == kLanes) {
    return f(a, b);
  } else {
    using Parts = std::array<Register, kLanes / kRegisterLanes>;
    const auto first = std::bit_cast<Parts>(a);
    const auto second = std::bit_cast<Parts>(b);
    Parts result;
#pragma GCC unroll 4
    for (size_t i = 0; i < result.size(); ++i) result[i] = f(first[i], second[i]);
    return std::bit_cast<Floats>(result);
  }
}

inline Floats larger(Floats a, Floats b) {
  return by_register(a, b, [](auto x, auto y) { return x > y ? x : y; });
}
inline Floats smaller(Floats a, Floats b) {
  return by_register(a, b, [](auto x, auto y) { return x < y ? x : y; });
}

/** Folds sixteen lanes into one by halves. */
template <typename Fold>
inline float fold(Floats value, const Fold& combine) {
  using Eight [[gnu::vector_size(32)]] = float;
  using Four [[gnu::vector_size(16)]] = float;
  struct Eights {
    Eight low, high;
  };
  struct Fours {
    Four low, high;
  };
  const auto [low, high] = std::bit_cast<Eights>(value);
  const auto [first, second] = std::bit_cast<Fours>(combine(low, high));
  const Four four = combine(first, second);
  return combine(combine(four[0], four[1]), combine(four[2], four[3]));
}

inline float sum(Floats value) {
  return fold(value, [](auto a, auto b) { return a + b; });
}

inline float largest(Floats value) {
  return fold(value, [](auto a, auto b) { return a > b ? a : b; });
}

/**
 * e^x to about one unit in the last place: x = n ln 2 + r, a polynomial for e^r (coefficients of Cephes' expf), and n
 * into the exponent. Beyond float32 it stops at 2^-126 and 2^127.
 */
inline Floats exponential(Floats x) {
  constexpr float kLog2E = 1.44269504088896341F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  x = smaller(larger(x, broadcast(-87.0F)), broadcast(88.0F));
  const Floats shifted = x * kLog2E + kRound;
  const Floats n = shifted - kRound;
  Floats r = x - n * 0.693359375F;
  r = r + n * 2.12194440e-4F;
  Floats p = broadcast(1.9875691500e-4F);
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  const Integers exponent = (std::bit_cast<Integers>(shifted) - std::bit_cast<int32_t>(kRound)) << 23;
  return std::bit_cast<Floats>(std::bit_cast<Integers>(p) + exponent);
}

/**
 * 2^x for x <= 0, to half a unit in the last place of float32, or with `Rough` to 8e-5 of the value, which bfloat16
 * does not see: x = n + r, a polynomial for 2^r (fitted for the least relative error on -0.5..0.5), and n into the
 * exponent.
 */
template <bool Rough>
inline Floats power_of_two(Floats x) {
  const auto polynomial = [](Floats r) {
    if constexpr (Rough) return ((0.0551716696F * r + 0.242611126F) * r + 0.693260986F) * r + 0.999928073F;
    const Floats upper = ((0.00132764721F * r + 0.00967554139F) * r + 0.0555071327F) * r + 0.240221197F;
    return (upper * r + 0.693146967F) * r + 1.00000007F;
  };
#ifdef __AVX512F__
  const __m512 value = std::bit_cast<__m512>(x);
  const __m512 n = _mm512_roundscale_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const Floats power = polynomial(std::bit_cast<Floats>(_mm512_sub_ps(value, n)));
  return std::bit_cast<Floats>(_mm512_scalef_ps(std::bit_cast<__m512>(power), n));
#else
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  x = larger(x, broadcast(-126.0F));
  const Floats shifted = x + kRound;
  const Floats power = polynomial(x - (shifted - kRound));
  const Integers exponent = (std::bit_cast<Integers>(shifted) - std::bit_cast<int32_t>(kRound)) << 23;
  return std::bit_cast<Floats>(std::bit_cast<Integers>(power) + exponent);
#endif
}

/** x * sigmoid(x). */
inline Floats silu(Floats x) { return x / (exponential(-x) + 1.0F); }

}  // namespace animatediff::ANIMATEDIFF_KERNELS
