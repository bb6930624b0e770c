#include "betas.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cumprod.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/pow.h>

#include <cmath>

#include "../error.h"

namespace animatediff {

std::vector<float> alphas_cumprod(ad_betas betas, double start, double end) {
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const at::Tensor beta = betas == AD_LINEAR
                              ? at::linspace(start, end, kTrainTimesteps, options)
                              : at::linspace(std::sqrt(start), std::sqrt(end), kTrainTimesteps, options).pow(2);
  const at::Tensor product = at::cumprod(1.0 - beta, 0);
  return {product.const_data_ptr<float>(), product.const_data_ptr<float>() + kTrainTimesteps};
}

std::vector<float> alphas_cumprod(const ad_scheduler& options) {
  std::vector<float> alphas = alphas_cumprod(options.betas, options.beta_start, options.beta_end);
  if (alphas.back() > 0.0F) return alphas;
  throw EngineError(AD_INVALID_ARGUMENT,
                    "betaStart and betaEnd are so large that nothing of the signal is left at "
                    "the last training timestep. AnimateDiff's are 0.00085 and 0.012.");
}

}  // namespace animatediff
