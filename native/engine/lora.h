// What LoRAs and their kin add to a parameter: low-rank factors read from files and multiplied out in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "animatediff.h"
#include "weights.h"

namespace animatediff {

/**
 * Adds the terms of `recipe` to `value`, the float32 parameter [out, in, ...] of its source. Each is computed from that
 * parameter as it was given, so that none depends on another.
 *
 * Throws what read_tensor throws, and AD_WEIGHTS_SHAPE when factors do not multiply to the parameter's size.
 */
void add_terms(const ad_recipe& recipe, SourceFiles& files, at::Tensor& value);

/** Adds factor * up @ down to a parameter [out, ...]: up [out, rank] and down [rank, all else], float32. */
struct LowRankTerm {
  at::Tensor up;
  at::Tensor down;
  double factor;
};

/** The terms of `recipe` where all are of this kind (the usual LoRA), else nothing. Throws what read_tensor throws. */
std::optional<std::vector<LowRankTerm>> low_rank_terms(const ad_recipe& recipe, SourceFiles& files);

}  // namespace animatediff
