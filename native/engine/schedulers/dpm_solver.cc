#include "dpm_solver.h"

#include <ATen/TensorOperators.h>

#include <cmath>

#include "../error.h"
#include "betas.h"
#include "sigmas.h"
#include "spacing.h"

namespace animatediff {
namespace {

// N timesteps above the lower end: linspace and leading divide the training timesteps by N + 1, unlike DDIM.
std::vector<float> place(const ad_scheduler& options) {
  require_steps(options);
  if (options.spacing == AD_TRAILING) {
    const auto placed = integer_timesteps(options);
    return {placed.begin(), placed.end()};
  }
  std::vector<float> timesteps;
  for (int64_t i = options.steps; i > 0; --i) {
    const int64_t timestep = options.spacing == AD_LINSPACE
                                 ? round_even(i * (static_cast<double>(kTrainTimesteps - 1) / options.steps))
                                 : i * (kTrainTimesteps / (options.steps + 1)) + options.steps_offset;
    timesteps.push_back(static_cast<float>(timestep));
  }
  require_training_timesteps(options, timesteps.front(), timesteps.back());
  return timesteps;
}

}  // namespace

DpmSolver2M::DpmSolver2M(const ad_scheduler& options) : prediction_(options.prediction), timesteps_(place(options)) {
  const std::vector<float> training = training_sigmas(alphas_cumprod(options));
  std::vector<double> sigmas = sigmas_at(training, timesteps_);
  if (options.karras_sigmas != 0) {
    sigmas = karras_sigmas(training.back(), training.front(), options.steps);
    for (size_t i = 0; i < sigmas.size(); ++i) {
      timesteps_[i] = static_cast<float>(round_even(timestep_of(sigmas[i], training)));
    }
  }
  sigmas.push_back(0.0);
  for (const double level : sigmas) {
    const auto ratio = static_cast<float>(level);
    const float alpha = 1.0F / std::sqrt(ratio * ratio + 1.0F);
    const float sigma = ratio * alpha;
    levels_.push_back({alpha, sigma, std::log(alpha) - std::log(sigma)});
  }
}

at::Tensor DpmSolver2M::step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                             std::vector<at::Generator>& /*generators*/) {
  const Level& from = levels_.at(step);
  const Level& to = levels_.at(step + 1);
  const float h = to.lambda - from.lambda;
  const float weight = to.alpha * std::expm1(-h);
  const at::Tensor original = predict_original(step, output, sample);
  at::Tensor next = sample * (to.sigma / from.sigma) - original * weight;
  if (step > 0 && step + 1 < timesteps_.size()) {
    const float ratio = (from.lambda - levels_.at(step - 1).lambda) / h;
    next = next - (original - previous_) * (0.5F * weight / ratio);
  }
  previous_ = original;
  return next;
}

at::Tensor DpmSolver2M::predict_original(size_t step, const at::Tensor& output, const at::Tensor& sample) const {
  const Level& level = levels_.at(step);
  switch (prediction_) {
    case AD_EPSILON: return (sample - level.sigma * output) / level.alpha;
    case AD_SAMPLE: return output;
    case AD_V_PREDICTION: return level.alpha * sample - level.sigma * output;
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown prediction type.");
}

}  // namespace animatediff
