// Latent consistency models, Luo et al., arXiv 2310.04378: multistep sampling of algorithm 3.
#pragma once

#include <cstdint>

#include "scheduler.h"

namespace animatediff {

class Lcm final : public Scheduler {
 public:
  /** Throws AD_INVALID_ARGUMENT, too, for more steps than original_inference_steps, or more than 1000 of those. */
  explicit Lcm(const ad_scheduler& options);

  [[nodiscard]] const std::vector<float>& timesteps() const override { return visited_; }

  /** The consistency function's estimate, and noise of the next timestep on it; none after the last. */
  at::Tensor step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                  std::vector<at::Generator>& generators) override;
  [[nodiscard]] at::Tensor predict_original(size_t step, const at::Tensor& output,
                                            const at::Tensor& sample) const override;

 private:
  ad_prediction prediction_;
  std::vector<float> alphas_;
  std::vector<int64_t> timesteps_;
  std::vector<float> visited_;
};

}  // namespace animatediff
