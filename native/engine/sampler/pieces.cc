#include "pieces.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include <algorithm>

namespace animatediff {

void PiecewiseUNet::divide_text(int64_t rows_at_once) {
  if (divided_ == rows_at_once) return;
  const int64_t texts = text_.size(0) / rows_;
  texts_.clear();
  for (int64_t row = 0; row < rows_; row += rows_at_once) {
    texts_.push_back(text_.narrow(0, row * texts, std::min(rows_at_once, rows_ - row) * texts));
  }
  divided_ = rows_at_once;
}

at::Tensor PiecewiseUNet::operator()(const at::Tensor& input, double timestep, int64_t rows_at_once) {
  divide_text(rows_at_once);
  std::vector<at::Tensor> outputs;
  for (int64_t row = 0; row < rows_; row += rows_at_once) {
    const at::Tensor piece = input.narrow(0, row, std::min(rows_at_once, rows_ - row));
    const at::Tensor time = at::full({piece.size(0)}, timestep, piece.options().dtype(at::kFloat));
    const at::Tensor& text = texts_[outputs.size()];
    outputs.push_back(unet_({piece, time, text, norm_over_frames_, motion_norm_over_frames_}).to(at::kFloat));
  }
  return outputs.size() == 1 ? outputs.front() : at::cat(outputs, 0);
}

}  // namespace animatediff
