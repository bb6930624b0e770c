// Ancestral sampling with Euler steps: the noise of DDPM (Ho et al., arXiv 2006.11239) between levels sigma, as
// k-diffusion's `sample_euler_ancestral` does it.
#pragma once

#include "scheduler.h"

namespace animatediff {

class EulerAncestral final : public Scheduler {
 public:
  /** Throws AD_INVALID_ARGUMENT for AD_SAMPLE, too, which no reference defines. */
  explicit EulerAncestral(const ad_scheduler& options);

  [[nodiscard]] const std::vector<float>& timesteps() const override { return timesteps_; }
  [[nodiscard]] float init_noise_sigma() const override { return init_noise_sigma_; }
  [[nodiscard]] at::Tensor scale_model_input(size_t step, const at::Tensor& sample) const override;
  at::Tensor step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                  std::vector<at::Generator>& generators) override;
  [[nodiscard]] at::Tensor predict_original(size_t step, const at::Tensor& output,
                                            const at::Tensor& sample) const override;

 private:
  ad_prediction prediction_;
  std::vector<float> timesteps_;
  /** One more than timesteps; the last is 0. */
  std::vector<float> sigmas_;
  float init_noise_sigma_ = 1.0F;
};

}  // namespace animatediff
