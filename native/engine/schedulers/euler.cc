#include "euler.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>

#include "../error.h"
#include "betas.h"
#include "sigmas.h"
#include "spacing.h"

namespace animatediff {

Euler::Euler(const ad_scheduler& options) : prediction_(options.prediction), timesteps_(fractional_timesteps(options)) {
  const std::vector<float> training = training_sigmas(alphas_cumprod(options));
  std::vector<double> levels = sigmas_at(training, timesteps_);
  if (options.karras_sigmas != 0) {
    levels = karras_sigmas(levels.front(), levels.back(), options.steps);
    std::transform(levels.begin(), levels.end(), timesteps_.begin(),
                   [&](double sigma) { return static_cast<float>(timestep_of(sigma, training)); });
  }
  sigmas_.assign(levels.begin(), levels.end());
  sigmas_.push_back(0.0F);
  init_noise_sigma_ = first_deviation(sigmas_.front(), options.spacing);
}

at::Tensor Euler::scale_model_input(size_t step, const at::Tensor& sample) const {
  return scale_to_network(sigmas_.at(step), sample);
}

at::Tensor Euler::step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                       std::vector<at::Generator>& /*generators*/) {
  const float sigma = sigmas_.at(step);
  const at::Tensor derivative = (sample - predict_original(step, output, sample)) / sigma;
  return sample + derivative * (sigmas_.at(step + 1) - sigma);
}

at::Tensor Euler::predict_original(size_t step, const at::Tensor& output, const at::Tensor& sample) const {
  return original_at(sigmas_.at(step), prediction_, output, sample);
}

at::Tensor scale_to_network(float sigma, const at::Tensor& sample) { return sample / std::sqrt(sigma * sigma + 1.0F); }

at::Tensor original_at(float sigma, ad_prediction prediction, const at::Tensor& output, const at::Tensor& sample) {
  const float variance = sigma * sigma + 1.0F;
  switch (prediction) {
    case AD_EPSILON: return sample - sigma * output;
    case AD_SAMPLE: return output;
    case AD_V_PREDICTION: return output * (-sigma / std::sqrt(variance)) + sample / variance;
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown prediction type.");
}

float first_deviation(float sigma, ad_spacing spacing) {
  return spacing == AD_LEADING ? std::sqrt(sigma * sigma + 1.0F) : sigma;
}

}  // namespace animatediff
