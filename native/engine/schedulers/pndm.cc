#include "pndm.h"

#include <ATen/TensorOperators.h>

#include <cmath>
#include <utility>

#include "../error.h"
#include "betas.h"
#include "spacing.h"

namespace animatediff {

Pndm::Pndm(const ad_scheduler& options)
    : options_(options), alphas_(alphas_cumprod(options)), timesteps_(integer_timesteps(options)) {
  if (options.prediction == AD_SAMPLE) {
    throw EngineError(AD_INVALID_ARGUMENT, "pndm takes predictionType epsilon or v_prediction, got sample.");
  }
  if (timesteps_.size() > 1) timesteps_.insert(timesteps_.begin() + 1, timesteps_[1]);
  visited_.assign(timesteps_.begin(), timesteps_.end());
}

double Pndm::alpha(int64_t timestep) const {
  if (timestep >= 0) return alphas_[static_cast<size_t>(timestep)];
  return options_.set_alpha_to_one != 0 ? 1.0 : alphas_[0];
}

at::Tensor Pndm::step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                      std::vector<at::Generator>& /*generators*/) {
  const int64_t length = kTrainTimesteps / options_.steps;
  const int64_t timestep = timesteps_.at(step);
  if (step == 1) {
    const at::Tensor first = std::exchange(start_, at::Tensor());
    return transfer(timestep + length, timestep, combined(step, output), first);
  }
  if (step == 0) start_ = sample;
  outputs_.push_front(output);
  if (outputs_.size() > 4) outputs_.pop_back();
  return transfer(timestep, timestep - length, combined(step, output), sample);
}

at::Tensor Pndm::combined(size_t step, const at::Tensor& output) const {
  // Step 1 averages both ends of the first interval; the rest is Adams-Bashforth, equation (12).
  if (step == 1) return (output + outputs_[0]) / 2.0;
  const auto& e = outputs_;
  switch (e.size()) {
    case 1: return e[0];
    case 2: return (3.0 * e[0] - e[1]) / 2.0;
    case 3: return (23.0 * e[0] - 16.0 * e[1] + 5.0 * e[2]) / 12.0;
    default: return (55.0 * e[0] - 59.0 * e[1] + 37.0 * e[2] - 9.0 * e[3]) / 24.0;
  }
}

at::Tensor Pndm::transfer(int64_t from, int64_t to, const at::Tensor& output, const at::Tensor& sample) const {
  const double now = alpha(from);
  const double next = alpha(to);
  const at::Tensor noise =
      options_.prediction == AD_V_PREDICTION ? std::sqrt(now) * output + std::sqrt(1.0 - now) * sample : output;
  const double weight = (next - now) / (now * std::sqrt(1.0 - next) + std::sqrt(now * (1.0 - now) * next));
  return std::sqrt(next / now) * sample - weight * noise;
}

at::Tensor Pndm::predict_original(size_t step, const at::Tensor& output, const at::Tensor& sample) const {
  const double now = alpha(timesteps_.at(step));
  if (options_.prediction == AD_V_PREDICTION) return std::sqrt(now) * sample - std::sqrt(1.0 - now) * output;
  return (sample - std::sqrt(1.0 - now) * output) / std::sqrt(now);
}

}  // namespace animatediff
