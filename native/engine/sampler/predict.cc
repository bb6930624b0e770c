#include "predict.h"

#include <ATen/TensorOperators.h>

#include <cmath>

#include "guidance.h"
#include "stages.h"

namespace animatediff {
namespace {

DeepFeatures deep_features(size_t step, int32_t interval) {
  if (interval == 1) return DeepFeatures::kForget;
  return step % static_cast<size_t>(interval) == 0 ? DeepFeatures::kKeep : DeepFeatures::kReuse;
}

}  // namespace

Predictor::Predictor(const Pipeline& pipeline, const ad_request& request, const at::Tensor& text, size_t steps)
    : request_(request),
      dtype_(pipeline.dtype),
      unet_(pipeline.unet, text, workload(request).rows, request.norm_over_frames != 0,
            request.motion_norm_over_frames != 0, pipeline.most_recorded) {
  if (is_guided(request)) {
    guided_steps_ = static_cast<size_t>(std::lround(request.guidance_end * static_cast<double>(steps)));
  }
}

at::Tensor Predictor::operator()(size_t step, double timestep, const at::Tensor& sample, int64_t rows_at_once) {
  const bool guided = step < guided_steps_;
  if (!guided && unet_.rows() > sample.size(0)) unet_.drop_first_half();
  // Both halves of guidance see the same sample.
  const at::Tensor output = unet_(sample.to(dtype_), timestep, rows_at_once, deep_features(step, request_.deep_cache));
  return guided ? guide(output, request_.guidance_scale) : output;
}

}  // namespace animatediff
