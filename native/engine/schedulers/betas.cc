#include "betas.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cumprod.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/pow.h>

#include <cmath>

namespace animatediff {

std::vector<float> alphas_cumprod(ad_betas betas, double start, double end) {
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const at::Tensor beta = betas == AD_LINEAR
                              ? at::linspace(start, end, kTrainTimesteps, options)
                              : at::linspace(std::sqrt(start), std::sqrt(end), kTrainTimesteps, options).pow(2);
  const at::Tensor product = at::cumprod(1.0 - beta, 0);
  return {product.const_data_ptr<float>(), product.const_data_ptr<float>() + kTrainTimesteps};
}

}  // namespace animatediff
