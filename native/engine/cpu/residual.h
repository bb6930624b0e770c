// Parts that several modules share.
#pragma once

#include "layers.h"

namespace animatediff::cpu {

/** Options of a GroupNorm layer of either class; `samples` as in GroupNormOptions. */
inline GroupNormOptions norm_options(const Part& layer, int64_t samples, bool silu = false) {
  const bool own = layer.class_name() == "FrameGroupNorm";
  return {samples, layer.integer(own ? "groups" : "num_groups"), layer.number("eps"), silu, {}};
}

/** x, or its 1x1 convolution where a block changes the number of channels. */
inline at::Tensor shortcut(const Part& block, const at::Tensor& x) {
  return block.has("conv_shortcut") ? picture(linear(tokens(x), block["conv_shortcut"]), x) : x;
}

/**
 * GEGLU feed-forward of tokens, plus `added`. Many tokens go through it in parts, so that what lies in between, twelve
 * times as wide as they are, stays in the cache.
 */
at::Tensor feed_forward(const Part& layers, const at::Tensor& x, const at::Tensor& added);

}  // namespace animatediff::cpu
