// Multi-head attention with the kernels of ../kernels/attention.cc.
#pragma once

#include <ATen/core/Tensor.h>

namespace animatediff::cpu {

/** Each x[i] attends within itself. q, k, v [n, tokens, heads * width] -> the same shape. */
at::Tensor self_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads);

/** Each pixel attends over its frames. q, k, v [clips * frames, pixels, heads * width] -> the same shape. */
at::Tensor temporal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads,
                              int64_t frames);

/** Keys and values of texts in the order in which the kernels read them. */
struct PackedText {
  at::Tensor keys;
  at::Tensor values;
  int64_t count;
};

/** k, v [m, tokens, heads * width]. */
PackedText pack_text(const at::Tensor& k, const at::Tensor& v, int64_t heads);

/** q [n, tokens, heads * width]; m divides n, and n / m consecutive q share a text. -> the shape of q. */
at::Tensor text_attention(const at::Tensor& q, const PackedText& text, int64_t heads);

}  // namespace animatediff::cpu
