#include "lcm.h"

#include <ATen/TensorOperators.h>

#include <cmath>
#include <string>

#include "../error.h"
#include "../sampler/noise.h"
#include "betas.h"
#include "spacing.h"

namespace animatediff {
namespace {

/** Deviation of the data, and how fast the boundary condition is left: those of the distillation. */
constexpr double kSigmaData = 0.5;
constexpr double kTimestepScaling = 10.0;

std::vector<int64_t> place(const ad_scheduler& options) {
  require_steps(options);
  const int64_t original = options.original_inference_steps;
  if (original < options.steps || original > kTrainTimesteps) {
    throw EngineError(AD_INVALID_ARGUMENT, "Expected originalInferenceSteps from the number of steps, which is " +
                                               std::to_string(options.steps) + ", to 1000, got " +
                                               std::to_string(original) + ".");
  }
  const int64_t skip = kTrainTimesteps / original;
  std::vector<int64_t> timesteps;
  for (int64_t i = 0; i < options.steps; ++i) {
    const auto index = static_cast<int64_t>(std::floor(i * (static_cast<double>(original) / options.steps)));
    timesteps.push_back((original - index) * skip - 1);
  }
  return timesteps;
}

}  // namespace

Lcm::Lcm(const ad_scheduler& options)
    : prediction_(options.prediction), alphas_(alphas_cumprod(options)), timesteps_(place(options)) {
  visited_.assign(timesteps_.begin(), timesteps_.end());
}

at::Tensor Lcm::step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                     std::vector<at::Generator>& generators) {
  // Equation (9): f(x, t) = c_skip x + c_out x_0, the identity at t = 0.
  const double scaled = static_cast<double>(timesteps_.at(step)) * kTimestepScaling;
  const double squares = scaled * scaled + kSigmaData * kSigmaData;
  const double skip = kSigmaData * kSigmaData / squares;
  const double out = scaled / std::sqrt(squares);
  const at::Tensor denoised = out * predict_original(step, output, sample) + skip * sample;
  if (step + 1 == timesteps_.size()) return denoised;
  const float alpha = alphas_[static_cast<size_t>(timesteps_[step + 1])];
  const at::Tensor noise = gaussian(sample.sizes(), generators).to(sample.device());
  return std::sqrt(alpha) * denoised + std::sqrt(1.0F - alpha) * noise;
}

at::Tensor Lcm::predict_original(size_t step, const at::Tensor& output, const at::Tensor& sample) const {
  const float alpha = alphas_[static_cast<size_t>(timesteps_.at(step))];
  const float signal = std::sqrt(alpha);
  const float noise = std::sqrt(1.0F - alpha);
  switch (prediction_) {
    case AD_EPSILON: return (sample - noise * output) / signal;
    case AD_SAMPLE: return output;
    case AD_V_PREDICTION: return signal * sample - noise * output;
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown prediction type.");
}

}  // namespace animatediff
