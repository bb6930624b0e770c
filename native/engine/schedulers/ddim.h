// Denoising diffusion implicit models, Song, Meng, Ermon, arXiv 2010.02502.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "../animatediff.h"
#include "scheduler.h"

namespace animatediff {

class Ddim final : public Scheduler {
 public:
  explicit Ddim(const ad_scheduler& options);

  [[nodiscard]] const std::vector<float>& timesteps() const override { return visited_; }

  /** One step of equation (12); noise is added only when eta > 0. */
  at::Tensor step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                  std::vector<at::Generator>& generators) override;

  [[nodiscard]] at::Tensor predict_original(size_t step, const at::Tensor& output,
                                            const at::Tensor& sample) const override;

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
  std::vector<float> visited_;
};

}  // namespace animatediff
