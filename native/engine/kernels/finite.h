// Kernels of finite.cc; kernels.h says what they do.
#pragma once

#include "kernels.h"

namespace animatediff::ANIMATEDIFF_KERNELS {

bool finite_16(const void* values, int64_t count, uint16_t exponent);
bool finite_32(const void* values, int64_t count, uint32_t exponent);

}  // namespace animatediff::ANIMATEDIFF_KERNELS
