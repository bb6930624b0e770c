#include "ddim.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/mul.h>

#include <cmath>
#include <string>

#include "../error.h"
#include "../sampler/noise.h"
#include "betas.h"

namespace animatediff {
namespace {

// Half to even, as numpy.round does.
int64_t round_even(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

std::vector<int64_t> place(const ad_scheduler& options) {
  const int64_t steps = options.steps;
  std::vector<int64_t> timesteps;
  timesteps.reserve(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    switch (options.spacing) {
      case AD_LEADING: timesteps.push_back((steps - 1 - i) * (kTrainTimesteps / steps) + options.steps_offset); break;
      case AD_LINSPACE:
        timesteps.push_back(
            steps == 1 ? 0 : round_even((steps - 1 - i) * (static_cast<double>(kTrainTimesteps - 1) / (steps - 1))));
        break;
      case AD_TRAILING:
        timesteps.push_back(round_even(kTrainTimesteps - i * (static_cast<double>(kTrainTimesteps) / steps)) - 1);
        break;
    }
  }
  return timesteps;
}

}  // namespace

Ddim::Ddim(const ad_scheduler& options)
    : options_(options), alphas_(alphas_cumprod(options.betas, options.beta_start, options.beta_end)) {
  if (options.steps < 1 || options.steps > kTrainTimesteps) {
    throw EngineError(AD_INVALID_ARGUMENT, "Expected 1 to 1000 steps, got " + std::to_string(options.steps) + ".");
  }
  timesteps_ = place(options);
  if (timesteps_.front() >= kTrainTimesteps || timesteps_.back() < 0) {
    throw EngineError(AD_INVALID_ARGUMENT, std::to_string(options.steps) + " steps with stepsOffset " +
                                               std::to_string(options.steps_offset) +
                                               " leave the 1000 training timesteps. Take fewer steps or a smaller "
                                               "stepsOffset (1 is AnimateDiff's).");
  }
  if (!(alphas_.back() > 0.0F)) {
    throw EngineError(AD_INVALID_ARGUMENT,
                      "betaStart and betaEnd are so large that nothing of the signal is left at "
                      "the last training timestep. AnimateDiff's are 0.00085 and 0.012.");
  }
}

double Ddim::alpha(int64_t timestep) const {
  if (timestep >= 0) return alphas_[static_cast<size_t>(timestep)];
  return options_.set_alpha_to_one != 0 ? 1.0 : alphas_[0];
}

Ddim::Estimate Ddim::estimate(double alpha, const at::Tensor& output, const at::Tensor& sample) const {
  const double signal = std::sqrt(alpha);
  const double noise = std::sqrt(1.0 - alpha);
  switch (options_.prediction) {
    case AD_EPSILON: return {(sample - noise * output) / signal, output};
    case AD_SAMPLE: return {output, (sample - signal * output) / noise};
    case AD_V_PREDICTION: return {signal * sample - noise * output, signal * output + noise * sample};
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown prediction type.");
}

at::Tensor Ddim::predict_original(size_t step, const at::Tensor& output, const at::Tensor& sample) const {
  return estimate(alpha(timesteps_.at(step)), output, sample).original;
}

at::Tensor Ddim::step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                      std::vector<at::Generator>& generators) const {
  const int64_t timestep = timesteps_.at(step);
  const double now = alpha(timestep);
  const double next = alpha(timestep - kTrainTimesteps / options_.steps);
  const auto [original, noise] = estimate(now, output, sample);
  const double sigma = options_.eta * std::sqrt((1.0 - next) / (1.0 - now) * (1.0 - now / next));  // equation (16)
  at::Tensor previous = std::sqrt(next) * original + std::sqrt(1.0 - next - sigma * sigma) * noise;
  if (options_.eta > 0.0) previous = previous + sigma * gaussian(sample.sizes(), generators).to(sample.device());
  return previous;
}

}  // namespace animatediff
