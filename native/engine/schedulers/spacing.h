// Which training timesteps are visited: the spacings of table 2 of Lin et al., arXiv 2305.08891.
#pragma once

#include <cstdint>
#include <vector>

#include "../animatediff.h"

namespace animatediff {

/** Training timesteps [steps], descending. Throws AD_INVALID_ARGUMENT when they do not fit into 0..999. */
std::vector<int64_t> integer_timesteps(const ad_scheduler& options);

/** The same, but linspace is not rounded. */
std::vector<float> fractional_timesteps(const ad_scheduler& options);

/** Half to even, as numpy.round does. */
int64_t round_even(double value);

/** Throws AD_INVALID_ARGUMENT unless there are 1 to 1000 steps. */
void require_steps(const ad_scheduler& options);

/** Throws AD_INVALID_ARGUMENT when `first` or `last` is not a training timestep. */
void require_training_timesteps(const ad_scheduler& options, double first, double last);

}  // namespace animatediff
