#include "euler_ancestral.h"

#include <ATen/TensorOperators.h>

#include <cmath>

#include "../error.h"
#include "../sampler/noise.h"
#include "betas.h"
#include "euler.h"
#include "sigmas.h"
#include "spacing.h"

namespace animatediff {

EulerAncestral::EulerAncestral(const ad_scheduler& options)
    : prediction_(options.prediction), timesteps_(fractional_timesteps(options)) {
  if (prediction_ == AD_SAMPLE) {
    throw EngineError(AD_INVALID_ARGUMENT, "euler_a takes predictionType epsilon or v_prediction, got sample.");
  }
  const std::vector<double> levels = sigmas_at(training_sigmas(alphas_cumprod(options)), timesteps_);
  sigmas_.assign(levels.begin(), levels.end());
  sigmas_.push_back(0.0F);
  init_noise_sigma_ = first_deviation(sigmas_.front(), options.spacing);
}

at::Tensor EulerAncestral::scale_model_input(size_t step, const at::Tensor& sample) const {
  return scale_to_network(sigmas_.at(step), sample);
}

at::Tensor EulerAncestral::step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                                std::vector<at::Generator>& generators) {
  const float from = sigmas_.at(step);
  const float to = sigmas_.at(step + 1);
  // The level `to` is reached by going down to `down` and adding noise of deviation `up`: down^2 + up^2 = to^2.
  const float up = std::sqrt(to * to * (from * from - to * to) / (from * from));
  const float down = std::sqrt(to * to - up * up);
  const at::Tensor derivative = (sample - predict_original(step, output, sample)) / from;
  const at::Tensor next = sample + derivative * (down - from);
  if (up == 0.0F) return next;
  return next + gaussian(sample.sizes(), generators).to(sample.device()) * up;
}

at::Tensor EulerAncestral::predict_original(size_t step, const at::Tensor& output, const at::Tensor& sample) const {
  return original_at(sigmas_.at(step), prediction_, output, sample);
}

}  // namespace animatediff
