#include "ddim.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/mul.h>

#include <cmath>
#include <string>

#include "../error.h"
#include "../sampler/noise.h"
#include "betas.h"
#include "spacing.h"

namespace animatediff {

Ddim::Ddim(const ad_scheduler& options)
    : options_(options), alphas_(alphas_cumprod(options)), timesteps_(integer_timesteps(options)) {
  visited_.assign(timesteps_.begin(), timesteps_.end());
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
                      std::vector<at::Generator>& generators) {
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
