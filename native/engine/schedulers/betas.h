// The noise schedule of the forward process.
#pragma once

#include <vector>

#include "../animatediff.h"

namespace animatediff {

inline constexpr int kTrainTimesteps = 1000;

/**
 * Cumulative products of 1 - beta, one per training timestep.
 *
 * `linear` is what AnimateDiff's motion modules were trained with; `scaled_linear` is linear in sqrt(beta), Stable
 * Diffusion's own. Computed in float32 as the references do (diffusers DDIMScheduler), so that values are equal.
 */
std::vector<float> alphas_cumprod(ad_betas betas, double start, double end);

/** Those of a scheduler's options. Throws AD_INVALID_ARGUMENT when no signal is left at the last timestep. */
std::vector<float> alphas_cumprod(const ad_scheduler& options);

}  // namespace animatediff
