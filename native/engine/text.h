// From token ids to the text embeddings that the UNet attends to: chunks, weights, prompts that change over the frames.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "animatediff.h"
#include "graph.h"

namespace animatediff {

/**
 * Text embeddings of a request in the encoder's dtype, [rows, chunks * tokens, width]. Rows are the clips, with
 * guidance those of the negative prompts first; when a side has blends of frames, every clip has one row per frame.
 * Throws AD_INVALID_ARGUMENT for a layout that does not fit together.
 */
at::Tensor encode_prompts(Graph& encoder, const ad_request& request, bool guided, c10::Device device);

/**
 * Embeddings [n, tokens, width] times weights [n, tokens], each then scaled back to its own mean: how AUTOMATIC1111's
 * web UI emphasises words ("Original" of its setting "Emphasis mode"). Computed in float32, returned in the dtype of
 * the embeddings; rows whose weights are all 1 come back bit by bit.
 */
at::Tensor weigh(const at::Tensor& embeddings, const at::Tensor& weights);

/**
 * Point on the way from `a` to `b`, of equal shapes: (1 - position) a + position b, or on the great circle through
 * both (Shoemake, SIGGRAPH 1985), sin((1 - position) angle) / sin(angle) a + sin(position angle) / sin(angle) b with
 * the angle between the whole tensors. Nearly parallel tensors, |cos(angle)| > 0.9995, are interpolated linearly.
 */
at::Tensor interpolate(const at::Tensor& a, const at::Tensor& b, double position, ad_interpolation kind);

}  // namespace animatediff
