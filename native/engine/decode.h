// Latents to pixels, a few frames at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine.h"
#include "sampler/stages.h"

namespace animatediff {

/**
 * Decodes latents [batch, channels, frames, h, w] float32 and adds `frames` uint8 [batch, frames, height, width, 3];
 * with keep_floats also `pictures` float32 [batch, frames, height, width, 3] in 0..1. Values are rounded to the
 * nearest byte. A float16 decoder that overflows is converted to float32 once and for all, with a notice; AD_NOT_FINITE
 * when even that gives NaN.
 *
 * Frames are reported while `pieces_ahead` further pieces are queued: 0 where the decoder runs on the host, else 1, so
 * that the device decodes while the host receives.
 */
void decode_clips(Graph& decoder, const at::Tensor& latents, const ad_request& request, int64_t pieces_ahead,
                  Stages& stages, const Callbacks& callbacks, ad_result& result);

}  // namespace animatediff
