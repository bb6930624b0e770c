// Attention by whichever of LibTorch's memory-efficient implementations is the fastest for its shape on this device.
#pragma once

#include <ATen/core/Tensor.h>

namespace animatediff::cuda {

/**
 * softmax(q k^T / sqrt(width)) v; q [n, heads, queries, width], k and v [n, heads, keys, width], on any device. On CUDA
 * in 16 bits cuDNN's, the flash and the memory-efficient kernel are timed the first time that a shape is seen, and the
 * choice is kept as long as the process lives. None of them stores the scores.
 */
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace animatediff::cuda
