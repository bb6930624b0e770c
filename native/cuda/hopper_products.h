// The products of hopper.h: an instruction names every register of its sum, so each width has its own text.
#pragma once

#include "hopper.h"

namespace animatediff::cuda {

#define SUM_4(i) "+f"(sum[i]), "+f"(sum[(i) + 1]), "+f"(sum[(i) + 2]), "+f"(sum[(i) + 3])
#define SUM_16(i) SUM_4(i), SUM_4((i) + 4), SUM_4((i) + 8), SUM_4((i) + 12)
#define SUM_20 SUM_16(0), SUM_4(16)
#define SUM_32 SUM_16(0), SUM_16(16)
#define SUM_40 SUM_32, SUM_4(32), SUM_4(36)
#define SUM_64 SUM_32, SUM_16(32), SUM_16(48)
#define SUM_128 SUM_64, SUM_16(64), SUM_16(80), SUM_16(96), SUM_16(112)
#define NAMES_20                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19"
#define NAMES_32                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_40                                                                     \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39"
#define NAMES_64                                                                     \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define NAMES_128                                                                                \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

/** sum [64, n] (+)= left [64, 16] right [n, 16]^T, both in tiles. */
#define BOTH_FROM_TILES(n, count, type, left_place, right_place, flag_place)                      \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " flag_place                                 \
               ", 0;\n"                                                                           \
               "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" NAMES_##count \
               "}, " left_place ", " right_place ", add, 1, 1, 0, 0;\n}"                          \
               : SUM_##count                                                                      \
               : "l"(left), "l"(right), "r"(static_cast<int>(add)))

/** sum [64, n] += left [64, 16] right [16, n], left in registers. */
#define LEFT_FROM_REGISTERS(n, count, type, a, b, c, d, right_place, flag_place)                  \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " flag_place                                 \
               ", 0;\n"                                                                           \
               "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" NAMES_##count \
               "}, {" a ", " b ", " c ", " d "}, " right_place ", add, 1, 1, 1;\n}"               \
               : SUM_##count                                                                      \
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(1))

template <typename T>
inline constexpr bool kIsHalf = std::is_same_v<T, __half>;

/** sum [64, 2 * kCount] = left [64, 16] right [.., 16]^T, added to it or not. Started, not done. */
template <typename T, int kCount>
__device__ __forceinline__ void multiply(float (&sum)[kCount], uint64_t left, uint64_t right, bool add) {
  if constexpr (kCount == 32 && kIsHalf<T>) {
    BOTH_FROM_TILES(64, 32, "f16", "%32", "%33", "%34");
  }
  if constexpr (kCount == 32 && !kIsHalf<T>) {
    BOTH_FROM_TILES(64, 32, "bf16", "%32", "%33", "%34");
  }
  if constexpr (kCount == 64 && kIsHalf<T>) {
    BOTH_FROM_TILES(128, 64, "f16", "%64", "%65", "%66");
  }
  if constexpr (kCount == 64 && !kIsHalf<T>) {
    BOTH_FROM_TILES(128, 64, "bf16", "%64", "%65", "%66");
  }
  if constexpr (kCount == 128 && kIsHalf<T>) {
    BOTH_FROM_TILES(256, 128, "f16", "%128", "%129", "%130");
  }
  if constexpr (kCount == 128 && !kIsHalf<T>) {
    BOTH_FROM_TILES(256, 128, "bf16", "%128", "%129", "%130");
  }
}

/** sum [64, 2 * kCount] += left [64, 16] right [16, ..]: the rows of right are the tile's. Started, not done. */
template <typename T, int kCount>
__device__ __forceinline__ void multiply_held(float (&sum)[kCount], const uint32_t (&left)[4], uint64_t right) {
  if constexpr (kCount == 20 && kIsHalf<T>) {
    LEFT_FROM_REGISTERS(40, 20, "f16", "%20", "%21", "%22", "%23", "%24", "%25");
  }
  if constexpr (kCount == 20 && !kIsHalf<T>) {
    LEFT_FROM_REGISTERS(40, 20, "bf16", "%20", "%21", "%22", "%23", "%24", "%25");
  }
  if constexpr (kCount == 40 && kIsHalf<T>) {
    LEFT_FROM_REGISTERS(80, 40, "f16", "%40", "%41", "%42", "%43", "%44", "%45");
  }
  if constexpr (kCount == 40 && !kIsHalf<T>) {
    LEFT_FROM_REGISTERS(80, 40, "bf16", "%40", "%41", "%42", "%43", "%44", "%45");
  }
}

#undef BOTH_FROM_TILES
#undef LEFT_FROM_REGISTERS
#undef NAMES_20
#undef NAMES_32
#undef NAMES_40
#undef NAMES_64
#undef NAMES_128
#undef SUM_4
#undef SUM_16
#undef SUM_20
#undef SUM_32
#undef SUM_40
#undef SUM_64
#undef SUM_128

}  // namespace animatediff::cuda
