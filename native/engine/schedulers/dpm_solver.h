// DPM-Solver++(2M): algorithm 2 of Lu et al., arXiv 2211.01095, in its midpoint form.
#pragma once

#include "scheduler.h"

namespace animatediff {

class DpmSolver2M final : public Scheduler {
 public:
  explicit DpmSolver2M(const ad_scheduler& options);

  [[nodiscard]] const std::vector<float>& timesteps() const override { return timesteps_; }

  /** The first and the last step are of first order, since there is no estimate before, and no noise after. */
  at::Tensor step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                  std::vector<at::Generator>& generators) override;
  [[nodiscard]] at::Tensor predict_original(size_t step, const at::Tensor& output,
                                            const at::Tensor& sample) const override;

 private:
  /** Signal and noise of a sample of variance 1, and half the logarithm of their ratio squared. */
  struct Level {
    float alpha;
    float sigma;
    float lambda;
  };

  ad_prediction prediction_;
  std::vector<float> timesteps_;
  /** One more than timesteps; the last is free of noise. */
  std::vector<Level> levels_;
  /** The estimate of the clean sample of the step before. */
  at::Tensor previous_;
};

}  // namespace animatediff
