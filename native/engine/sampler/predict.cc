#include "predict.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include <cmath>

#include "guidance.h"

namespace animatediff {
namespace {

at::Tensor second_half(const at::Tensor& tensor) {
  const int64_t half = tensor.size(0) / 2;
  return tensor.narrow(0, half, half);
}

}  // namespace

Predictor::Predictor(const Pipeline& pipeline, const ad_request& request, const at::Tensor& text, size_t steps)
    : pipeline_(pipeline), request_(request), text_(text) {
  if (!is_guided(request)) return;
  guided_steps_ = static_cast<size_t>(std::lround(request.guidance_end * static_cast<double>(steps)));
  if (guided_steps_ < steps) conditional_ = second_half(text);
}

at::Tensor Predictor::operator()(size_t step, double timestep, const at::Tensor& sample) {
  if (step < guided_steps_) {
    return guide(run(step, timestep, at::cat({sample, sample}, 0), text_), request_.guidance_scale);
  }
  if (!is_guided(request_)) return run(step, timestep, sample, text_);
  if (step == guided_steps_ && deep_.defined()) deep_ = second_half(deep_);
  return run(step, timestep, sample, conditional_);
}

at::Tensor Predictor::run(size_t step, double timestep, const at::Tensor& sample, const at::Tensor& text) {
  const at::Tensor input = sample.to(pipeline_.dtype);
  const at::Tensor time =
      at::full({input.size(0)}, timestep, at::TensorOptions().dtype(at::kFloat).device(pipeline_.device));
  std::vector<c10::IValue> inputs{input, time, text, request_.norm_over_frames != 0,
                                  request_.motion_norm_over_frames != 0};
  const auto interval = static_cast<size_t>(request_.deep_cache);
  if (interval == 1) return pipeline_.unet(std::move(inputs)).to(at::kFloat);
  inputs.emplace_back(step % interval == 0 ? c10::IValue() : c10::IValue(deep_));
  const c10::IValue result = pipeline_.unet.call("predict", std::move(inputs));
  deep_ = result.toTupleRef().elements()[1].toTensor();
  return result.toTupleRef().elements()[0].toTensor().to(at::kFloat);
}

}  // namespace animatediff
