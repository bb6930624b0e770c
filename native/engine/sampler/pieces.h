// The UNet on a batch, as a whole or in pieces that take less memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "../cuda/text_keys.h"
#include "../graph.h"

namespace animatediff {

/** What happens to the features that enter the UNet's last layer. */
enum class DeepFeatures {
  /** They are given up. */
  kForget,
  /** They are kept for later steps. */
  kKeep,
  /** Those that were kept take the place of most of the network. */
  kReuse,
};

class PiecewiseUNet {
 public:
  /**
   * `text` [rows or rows * frames, tokens, width] belongs to a batch of `rows`. With pieces of one half of guidance
   * each, memory for activations halves, and so on. A whole batch of at most `most_recorded` latent pixels is recorded.
   */
  PiecewiseUNet(Graph& unet, const at::Tensor& text, int64_t rows, bool norm_over_frames, bool motion_norm_over_frames,
                int64_t most_recorded)
      : unet_(unet),
        text_(text),
        rows_(rows),
        norm_over_frames_(norm_over_frames),
        motion_norm_over_frames_(motion_norm_over_frames),
        most_recorded_(most_recorded) {}

  [[nodiscard]] int64_t rows() const { return rows_; }

  /**
   * What the network gives for `sample` [rows, …] in its dtype, float32; `rows_at_once` rows are computed together. A
   * sample of a part of the rows stands for all of them, repeated.
   */
  at::Tensor operator()(const at::Tensor& sample, double timestep, int64_t rows_at_once, DeepFeatures deep);

  /** From now on the batch is its second half, that of the prompts themselves. */
  void drop_first_half();

 private:
  void divide_text(int64_t rows_at_once);

  Graph& unet_;
  at::Tensor text_;
  int64_t rows_;
  bool norm_over_frames_;
  bool motion_norm_over_frames_;
  int64_t most_recorded_;
  // The same tensors in every step: text caches tell texts by their identity.
  std::vector<at::Tensor> texts_;
  // Of each of them, where the network runs with CUDA's modules and is not recorded.
  std::vector<cuda::TextKeys> keys_;
  int64_t divided_ = 0;
  // [rows * frames, channels, h, w]
  at::Tensor deep_;
};

}  // namespace animatediff
