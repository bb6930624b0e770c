// Attention of narrow heads over many tokens, for compute capability 9.0.
#pragma once

#include "kernels.h"

namespace animatediff::cuda {

/** [batch, tokens, heads, width], elements of a head side by side. */
struct HeadsView {
  const void* data;
  int64_t tokens;
  /** Bytes; multiples of 16. */
  int64_t batch_stride;
  int64_t token_stride;
  int64_t head_stride;
};

struct HeadAttention {
  int64_t batch;
  int heads;
  /** 40 or 80. */
  int width;
  HeadsView q;
  HeadsView k;
  HeadsView v;
  /** [batch, queries, heads, width] without gaps. */
  void* out;
};

/** softmax(q k^T / sqrt(width)) v for each head; 16-bit elements. */
const char* head_attention(Type type, const HeadAttention& call, const Queue& queue);

}  // namespace animatediff::cuda
