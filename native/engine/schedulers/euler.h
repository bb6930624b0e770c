// Euler's method on the probability flow ODE: algorithm 2 of Karras et al., arXiv 2206.00364, without churn.
#pragma once

#include "scheduler.h"

namespace animatediff {

class Euler final : public Scheduler {
 public:
  explicit Euler(const ad_scheduler& options);

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

/** x / sqrt(sigma^2 + 1): the scale in which Stable Diffusion's UNet was trained. */
at::Tensor scale_to_network(float sigma, const at::Tensor& sample);

/** The clean sample from a network's output at noise level `sigma`; `sample` is clean + sigma * noise. */
at::Tensor original_at(float sigma, ad_prediction prediction, const at::Tensor& output, const at::Tensor& sample);

/** Standard deviation of the first sample: leading spacing starts below the last training timestep. */
float first_deviation(float sigma, ad_spacing spacing);

}  // namespace animatediff
