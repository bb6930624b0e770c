// What the sampler needs of every scheduler. Each algorithm is a file of its own beside this one.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "../animatediff.h"

namespace animatediff {

/**
 * A way from noise to a clip over a fixed list of timesteps. Tensors are float32 [batch, …].
 *
 * Steps are taken in order, each once: multistep algorithms remember the outputs before.
 */
class Scheduler {
 public:
  Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  virtual ~Scheduler() = default;

  /** Training timesteps in the order they are visited, one per evaluation of the network; some are fractional. */
  [[nodiscard]] virtual const std::vector<float>& timesteps() const = 0;

  /** Standard deviation of the noise that sampling starts from. */
  [[nodiscard]] virtual float init_noise_sigma() const { return 1.0F; }

  /** The sample as the network takes it at timesteps()[step]. */
  [[nodiscard]] virtual at::Tensor scale_model_input(size_t /*step*/, const at::Tensor& sample) const { return sample; }

  /**
   * From the sample and the network's output at timesteps()[step] to the next sample. `generators` hold one generator
   * per clip of the batch and are drawn from only where the algorithm adds noise.
   */
  virtual at::Tensor step(size_t step, const at::Tensor& output, const at::Tensor& sample,
                          std::vector<at::Generator>& generators) = 0;

  /** The estimate of the clean sample, for previews. */
  [[nodiscard]] virtual at::Tensor predict_original(size_t step, const at::Tensor& output,
                                                    const at::Tensor& sample) const = 0;
};

/** Throws AD_INVALID_ARGUMENT for step counts that cannot be placed among the training timesteps. */
std::unique_ptr<Scheduler> make_scheduler(const ad_scheduler& options);

}  // namespace animatediff
