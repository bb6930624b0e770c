// What temporal_attention.cu leaves to tensor cores.
#pragma once

#include "kernels.h"

namespace animatediff::cuda {

/** Why a call is not for these kernels. */
inline constexpr const char* kTooLarge =
    "frames and head width of a temporal attention are more than the CUDA kernel takes";

/** float16, and bfloat16 where the processor multiplies it; up to 32 frames. */
const char* temporal_attention_by_tiles(Type type, const TemporalAttention& call, const Queue& queue);

}  // namespace animatediff::cuda
