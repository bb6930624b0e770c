// The UNet's prediction at a step: classifier-free guidance, and what may be left out of it.
#pragma once

#include <ATen/core/Tensor.h>

#include "denoise.h"
#include "pieces.h"

namespace animatediff {

/** With this scale the negative prompt has a say. */
inline bool is_guided(const ad_request& request) { return request.guidance_scale > 1.0; }

/** Predicts for the steps of one request in their order. */
class Predictor {
 public:
  /** `text` as encode_prompts returns it; `steps` counts the evaluations of the UNet. */
  Predictor(const Pipeline& pipeline, const ad_request& request, const at::Tensor& text, size_t steps);

  /**
   * The prediction [batch, channels, frames, h, w] for `sample`, scaled for the network, both float32. A step that ran
   * out of memory can be tried again with fewer `rows_at_once`.
   */
  at::Tensor operator()(size_t step, double timestep, const at::Tensor& sample, int64_t rows_at_once);

 private:
  const ad_request& request_;
  c10::ScalarType dtype_;
  PiecewiseUNet unet_;
  size_t guided_steps_ = 0;
};

}  // namespace animatediff
