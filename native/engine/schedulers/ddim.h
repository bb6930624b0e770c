// Denoising diffusion implicit models, Song, Meng, Ermon, arXiv 2010.02502.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "../animatediff.h"

namespace animatediff {

class Ddim {
 public:
  /** Throws AD_INVALID_ARGUMENT for step counts that the spacing cannot place among the training timesteps. */
  explicit Ddim(const ad_scheduler& options);

  /** Timesteps in the order they are visited, descending. */
  [[nodiscard]] const std::vector<int64_t>& timesteps() const { return timesteps_; }

  /**
   * One step of equation (12): x_t and the network's output at timesteps()[step] to x_{t-1}, float32.
   * `generators` hold one generator per clip of the batch and are drawn from only when eta > 0.
   */
  at::Tensor step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                  std::vector<at::Generator>& generators) const;

  /** The estimate of x_0 from x_t, for previews. */
  at::Tensor predict_original(size_t step, const at::Tensor& output, const at::Tensor& sample) const;

 private:
  struct Estimate {
    at::Tensor original;
    at::Tensor noise;
  };
  [[nodiscard]] Estimate estimate(double alpha, const at::Tensor& output, const at::Tensor& sample) const;
  [[nodiscard]] double alpha(int64_t timestep) const;

  ad_scheduler options_;
  std::vector<float> alphas_;
  std::vector<int64_t> timesteps_;
};

}  // namespace animatediff
