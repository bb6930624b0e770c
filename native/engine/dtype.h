// Element types of files and of the C interface as LibTorch names them.
#pragma once

#include <c10/core/ScalarType.h>

#include "animatediff.h"
#include "error.h"

namespace animatediff {

inline c10::ScalarType scalar_type(ad_dtype dtype) {
  switch (dtype) {
    case AD_F64: return c10::kDouble;
    case AD_F32: return c10::kFloat;
    case AD_F16: return c10::kHalf;
    case AD_BF16: return c10::kBFloat16;
    case AD_F8_E4M3: return c10::kFloat8_e4m3fn;
    case AD_F8_E5M2: return c10::kFloat8_e5m2;
    case AD_I64: return c10::kLong;
    case AD_I32: return c10::kInt;
    case AD_I16: return c10::kShort;
    case AD_I8: return c10::kChar;
    case AD_U8: return c10::kByte;
    case AD_BOOL: return c10::kBool;
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown element type " + std::to_string(dtype) + ".");
}

inline ad_dtype interface_type(c10::ScalarType type) {
  switch (type) {
    case c10::kFloat: return AD_F32;
    case c10::kLong: return AD_I64;
    case c10::kByte: return AD_U8;
    default: throw EngineError(AD_ENGINE_ERROR, std::string("No interface type for ") + c10::toString(type) + ".");
  }
}

}  // namespace animatediff
