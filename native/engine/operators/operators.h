// The operators of this package, registered with LibTorch in the namespace `animatediff`: what it has no fast ones for
// on CUDA. Tensors are tokens, [n, tokens, channels] row-major, which is the memory of a channels-last picture
// [n, channels, h, w]. All tensors of a call have one type, float32, float16 or bfloat16; sums are float32.
//
// reference.cc runs them on the CPU; native/cuda, an optional library, on CUDA. On other devices they throw.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace animatediff::operators {

using Optional = std::optional<at::Tensor>;

/**
 * GroupNorm of x, with SiLU behind it if asked for. Statistics are taken over each of `samples` equal parts of n: n for
 * every frame, n / frames for clips. `shift` [m, channels] is added before the norm, one row for samples / m
 * consecutive samples. weight, bias [channels].
 */
at::Tensor token_group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& shift, int64_t samples, int64_t groups, double epsilon, bool silu);

/** LayerNorm over the channels, then row i % p of `positions` [p, channels] added to the tokens of x[i]. */
at::Tensor token_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& positions, double epsilon);

/** a * gelu(b), the exact GELU, where a and b are the halves of x + bias; x [n, tokens, 2 * channels]. */
at::Tensor gated_gelu(const at::Tensor& x, const Optional& bias);

/**
 * The first layer of a feed-forward with its gate: a * gelu(b), where a and b are the halves of x weight^T + bias. x
 * [n, tokens, in], weight [2 * hidden, in], bias [2 * hidden] -> [n, tokens, hidden].
 */
at::Tensor gated_linear(const at::Tensor& x, const at::Tensor& weight, const Optional& bias);

/** x += bias + residual, in place; returns x. */
at::Tensor add_bias_residual_(const at::Tensor& x, const Optional& bias, const at::Tensor& residual);

/**
 * Each pixel attends over its frames, at most 32. qkv [clips, frames, pixels, 3 * heads * width] as one projection
 * gives queries, keys and values -> [clips, frames, pixels, heads * width].
 */
at::Tensor temporal_attention(const at::Tensor& qkv, int64_t heads);

/**
 * softmax(q k^T / sqrt(width)) v for each head; q [n, queries, heads, width], k and v [n, keys, heads, width] with any
 * strides but that of the last dimension -> [n, queries, heads, width]. Throws where the device has no kernel for it.
 */
at::Tensor head_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

/**
 * out = x weight^T + bias + residual; returns out, which may be `residual` itself. x [n, tokens, in], weight [out, in],
 * bias [out], residual and out [n, tokens, out].
 */
at::Tensor linear_residual(const at::Tensor& x, const at::Tensor& weight, const Optional& bias,
                           const at::Tensor& residual, const at::Tensor& out);

/**
 * The 3x3 kernels [out, 3, 3, in] of a convolution behind nearest-neighbour upsampling to twice the size, as 2x2
 * kernels [4 * out, 2, 2, in] of one in front of it, padded by one pixel: one for each parity of the output's row and
 * column (even rows and columns first), whose taps are sums, rounded once.
 */
at::Tensor phase_weights(const at::Tensor& weight);

/**
 * The 2x2 pixels that meet at each corner of a picture [n, h, w, channels], zeros beyond its edges: [n, h + 1, w + 1, 4
 * * channels], rows first. With `phase_weights` as a matrix that convolution is a product.
 */
at::Tensor corner_patches(const at::Tensor& x);

/** Channels of two tensors [n, tokens, _] side by side. */
at::Tensor join_channels(const at::Tensor& left, const at::Tensor& right);

/** What that convolution gives, [n, h + 1, w + 1, 4 * channels], as the picture [n, 2h, 2w, channels], plus bias. */
at::Tensor join_phases(const at::Tensor& x, const Optional& bias);

}  // namespace animatediff::operators
