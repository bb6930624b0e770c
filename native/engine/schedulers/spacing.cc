#include "spacing.h"

#include <cmath>
#include <string>

#include "../error.h"
#include "betas.h"

namespace animatediff {
namespace {

// One timestep of a spacing before linspace is rounded.
double timestep_at(const ad_scheduler& options, int64_t index) {
  const int64_t steps = options.steps;
  switch (options.spacing) {
    case AD_LEADING: return static_cast<double>((steps - 1 - index) * (kTrainTimesteps / steps) + options.steps_offset);
    case AD_LINSPACE:
      if (steps == 1) return 0.0;
      if (index == 0) return kTrainTimesteps - 1;
      return static_cast<double>(steps - 1 - index) * (static_cast<double>(kTrainTimesteps - 1) / (steps - 1));
    case AD_TRAILING:
      return static_cast<double>(round_even(kTrainTimesteps - index * (static_cast<double>(kTrainTimesteps) / steps)) -
                                 1);
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown timestep spacing " + std::to_string(options.spacing) + ".");
}

}  // namespace

int64_t round_even(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

void require_steps(const ad_scheduler& options) {
  if (options.steps >= 1 && options.steps <= kTrainTimesteps) return;
  throw EngineError(AD_INVALID_ARGUMENT, "Expected 1 to 1000 steps, got " + std::to_string(options.steps) + ".");
}

void require_training_timesteps(const ad_scheduler& options, double first, double last) {
  if (first < kTrainTimesteps && last >= 0) return;
  throw EngineError(AD_INVALID_ARGUMENT, std::to_string(options.steps) + " steps with stepsOffset " +
                                             std::to_string(options.steps_offset) +
                                             " leave the 1000 training timesteps. Take fewer steps or a smaller "
                                             "stepsOffset (1 is AnimateDiff's).");
}

std::vector<float> fractional_timesteps(const ad_scheduler& options) {
  require_steps(options);
  std::vector<float> timesteps;
  timesteps.reserve(static_cast<size_t>(options.steps));
  for (int64_t i = 0; i < options.steps; ++i) timesteps.push_back(static_cast<float>(timestep_at(options, i)));
  require_training_timesteps(options, timesteps.front(), timesteps.back());
  return timesteps;
}

std::vector<int64_t> integer_timesteps(const ad_scheduler& options) {
  require_steps(options);
  std::vector<int64_t> timesteps;
  timesteps.reserve(static_cast<size_t>(options.steps));
  for (int64_t i = 0; i < options.steps; ++i) timesteps.push_back(round_even(timestep_at(options, i)));
  require_training_timesteps(options, static_cast<double>(timesteps.front()), static_cast<double>(timesteps.back()));
  return timesteps;
}

}  // namespace animatediff
