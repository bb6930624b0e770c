#include "sigmas.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace animatediff {

std::vector<float> training_sigmas(const std::vector<float>& alphas_cumprod) {
  std::vector<float> sigmas;
  sigmas.reserve(alphas_cumprod.size());
  for (const float alpha : alphas_cumprod) sigmas.push_back(std::sqrt((1.0F - alpha) / alpha));
  return sigmas;
}

std::vector<double> sigmas_at(const std::vector<float>& training, const std::vector<float>& timesteps) {
  std::vector<double> sigmas;
  sigmas.reserve(timesteps.size());
  for (const float timestep : timesteps) {
    const auto low = std::min(static_cast<size_t>(timestep), training.size() - 2);
    const double slope = static_cast<double>(training[low + 1]) - static_cast<double>(training[low]);
    sigmas.push_back(slope * (static_cast<double>(timestep) - static_cast<double>(low)) + training[low]);
  }
  return sigmas;
}

std::vector<double> karras_sigmas(double largest, double smallest, int steps) {
  constexpr double kRho = 7.0;
  const double first = std::pow(largest, 1.0 / kRho);
  const double last = std::pow(smallest, 1.0 / kRho);
  std::vector<double> sigmas;
  sigmas.reserve(static_cast<size_t>(steps));
  for (int i = 0; i < steps; ++i) {
    const double ramp = steps == 1 ? 0.0 : static_cast<double>(i) / (steps - 1);
    sigmas.push_back(std::pow(first + ramp * (last - first), kRho));
  }
  return sigmas;
}

double timestep_of(double sigma, const std::vector<float>& training) {
  const auto above = std::upper_bound(training.begin(), training.end(), sigma);
  const auto found = std::max<std::ptrdiff_t>(above - training.begin() - 1, 0);
  const size_t low = std::min(static_cast<size_t>(found), training.size() - 2);
  const double from = std::log(training[low]);
  const double to = std::log(training[low + 1]);
  const double weight = std::clamp((from - std::log(sigma)) / (from - to), 0.0, 1.0);
  return static_cast<double>(low) + weight;
}

}  // namespace animatediff
