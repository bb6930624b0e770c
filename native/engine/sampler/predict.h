// The UNet's prediction at a step: classifier-free guidance, and what may be left out of it.
#pragma once

#include <ATen/core/Tensor.h>

#include "denoise.h"

namespace animatediff {

/** Predicts for the steps of one request in their order. */
class Predictor {
 public:
  /** `text` as encode_prompts returns it; `steps` counts the evaluations of the UNet. */
  Predictor(const Pipeline& pipeline, const ad_request& request, const at::Tensor& text, size_t steps);

  /** The prediction [batch, channels, frames, h, w] for `sample`, scaled for the network, both float32. */
  at::Tensor operator()(size_t step, double timestep, const at::Tensor& sample);

 private:
  at::Tensor run(size_t step, double timestep, const at::Tensor& sample, const at::Tensor& text);

  const Pipeline& pipeline_;
  const ad_request& request_;
  at::Tensor text_;
  /** Without the negative half, where guidance ends before the last step. */
  at::Tensor conditional_;
  size_t guided_steps_ = 0;
  /** What the last whole evaluation gave to the last layer, while features are reused. */
  at::Tensor deep_;
};

/** With this scale the negative prompt has a say. */
inline bool is_guided(const ad_request& request) { return request.guidance_scale > 1.0; }

}  // namespace animatediff
