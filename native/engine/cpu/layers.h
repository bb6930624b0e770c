// Layers on CPU tensors in channels-last order: pictures [n, channels, h, w] as [n, h, w, channels] in memory, which is
// the same memory as tokens [n, h * w, channels].
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "part.h"

namespace animatediff::cpu {

/** [n, channels, h, w] in channels-last memory, copied only if it is not yet. */
at::Tensor channels_last(const at::Tensor& x);

/** The same memory as [n, h * w, channels]; x must be channels_last. */
at::Tensor tokens(const at::Tensor& x);

/** Tokens [n, h * w, channels] as a picture of the size of `like`. */
at::Tensor picture(const at::Tensor& tokens, const at::Tensor& like);

/** `repeats` copies of x behind one another along its first dimension, in the order of memory of x. */
at::Tensor repeated(const at::Tensor& x, int64_t repeats);

/** The first `count` rows of x, which may be all. */
at::Tensor first_rows(const at::Tensor& x, int64_t count);

/** Linear layer, or 1x1 convolution of tokens; plus `added`, of the output's shape, if it is defined. */
at::Tensor linear(const at::Tensor& x, const Part& layer, const at::Tensor& added = {});

/** The same with a weight [out, in], dense or packed for oneDNN or in tiles. */
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                   const at::Tensor& added = {});

/** Convolution with the stride of `layer` and padding that keeps the size at stride 1; plus `added` if defined. */
at::Tensor convolution(const at::Tensor& x, const Part& layer, const at::Tensor& added = {});

/** The same of x after nearest-neighbour upsampling to that size, with fewer products where the size is doubled. */
at::Tensor upsampled_convolution(const at::Tensor& x, const Part& layer, int64_t height, int64_t width);

struct GroupNormOptions {
  /** Statistics are taken over the rows of each of so many equal parts of x: n for every frame, n / frames for clips.
   */
  int64_t samples;
  int64_t groups;
  double epsilon;
  bool silu = false;
  /** [m, channels] float32 added before the norm, one row for n / m consecutive frames; undefined: nothing. */
  at::Tensor shift;
};

/** GroupNorm of x [n, channels, h, w], with SiLU behind it if asked for. weight, bias [channels]. */
at::Tensor group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      const GroupNormOptions& options);

/** With the weight and bias of `layer`. */
inline at::Tensor group_norm(const at::Tensor& x, const Part& layer, const GroupNormOptions& options) {
  return group_norm(x, layer.tensor("weight"), layer.tensor("bias"), options);
}

/**
 * LayerNorm over the channels of x [n, tokens, channels]. `positions` [p, channels] are added behind it, row i % p to
 * the tokens of x[i]; undefined: nothing. weight, bias [channels].
 */
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon,
                      const at::Tensor& positions = {});

/** With weight, bias and epsilon of `layer`. */
inline at::Tensor layer_norm(const at::Tensor& x, const Part& layer, const at::Tensor& positions = {}) {
  return layer_norm(x, layer.tensor("weight"), layer.tensor("bias"), layer.number("eps"), positions);
}

/** [n, tokens, 2 * channels] -> [n, tokens, channels]: the first half times the exact GELU of the second. */
at::Tensor gated_gelu(const at::Tensor& x);

}  // namespace animatediff::cpu
