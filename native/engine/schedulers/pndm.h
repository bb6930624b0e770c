// Pseudo numerical methods for diffusion models, Liu et al., arXiv 2202.09778: the linear multistep method (PLMS).
// Its Runge-Kutta start is replaced by a second evaluation of the second timestep, as Stable Diffusion does it.
#pragma once

#include <cstdint>
#include <deque>

#include "scheduler.h"

namespace animatediff {

class Pndm final : public Scheduler {
 public:
  /** Throws AD_INVALID_ARGUMENT for AD_SAMPLE, too, which no reference defines. */
  explicit Pndm(const ad_scheduler& options);

  /** One more than the steps: the second timestep comes twice. */
  [[nodiscard]] const std::vector<float>& timesteps() const override { return visited_; }
  at::Tensor step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                  std::vector<at::Generator>& generators) override;
  [[nodiscard]] at::Tensor predict_original(size_t step, const at::Tensor& output,
                                            const at::Tensor& sample) const override;

 private:
  [[nodiscard]] double alpha(int64_t timestep) const;
  /** The output that stands for the derivative over the whole step, from up to four outputs. */
  [[nodiscard]] at::Tensor combined(size_t step, const at::Tensor& output) const;
  /** Equation (9) from timestep `from` to `to`. */
  [[nodiscard]] at::Tensor transfer(int64_t from, int64_t to, const at::Tensor& output, const at::Tensor& sample) const;

  ad_scheduler options_;
  std::vector<float> alphas_;
  std::vector<int64_t> timesteps_;
  std::vector<float> visited_;
  /** The newest first, at most four. */
  std::deque<at::Tensor> outputs_;
  /** The sample of the first evaluation, from which the second one steps again. */
  at::Tensor start_;
};

}  // namespace animatediff
