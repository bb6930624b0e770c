// The UNet on a batch, as a whole or in pieces that take less memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "../graph.h"

namespace animatediff {

class PiecewiseUNet {
 public:
  /**
   * `text` [rows or rows * frames, tokens, width] belongs to a batch of `rows`. With pieces of one half of guidance
   * each, memory for activations halves, and so on.
   */
  PiecewiseUNet(Graph& unet, const at::Tensor& text, int64_t rows, bool norm_over_frames, bool motion_norm_over_frames)
      : unet_(unet),
        text_(text),
        rows_(rows),
        norm_over_frames_(norm_over_frames),
        motion_norm_over_frames_(motion_norm_over_frames) {}

  /** What the network gives for `input` [rows, …] in its dtype, float32; `rows_at_once` rows are computed together. */
  at::Tensor operator()(const at::Tensor& input, double timestep, int64_t rows_at_once);

 private:
  void divide_text(int64_t rows_at_once);

  Graph& unet_;
  at::Tensor text_;
  int64_t rows_;
  bool norm_over_frames_;
  bool motion_norm_over_frames_;
  // The same tensors in every step: the CPU's text cache tells texts by their identity.
  std::vector<at::Tensor> texts_;
  int64_t divided_ = 0;
};

}  // namespace animatediff
