#include "pieces.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include <algorithm>

#include "../cpu/layers.h"

namespace animatediff {
namespace {

/** Which input of the UNet the text is. */
constexpr size_t kText = 2;

at::Tensor whole(const std::vector<at::Tensor>& parts) { return parts.size() == 1 ? parts.front() : at::cat(parts, 0); }

at::Tensor second_half(const at::Tensor& tensor) {
  const int64_t half = tensor.size(0) / 2;
  return tensor.narrow(0, half, half);
}

}  // namespace

void PiecewiseUNet::divide_text(int64_t rows_at_once) {
  if (divided_ == rows_at_once) return;
  const int64_t texts = text_.size(0) / rows_;
  texts_.clear();
  for (int64_t row = 0; row < rows_; row += rows_at_once) {
    texts_.push_back(text_.narrow(0, row * texts, std::min(rows_at_once, rows_ - row) * texts));
  }
  keys_.assign(texts_.size(), {});
  divided_ = rows_at_once;
}

void PiecewiseUNet::drop_first_half() {
  rows_ /= 2;
  text_ = second_half(text_);
  if (deep_.defined()) deep_ = second_half(deep_);
  divided_ = 0;
}

at::Tensor PiecewiseUNet::operator()(const at::Tensor& sample, double timestep, int64_t rows_at_once,
                                     DeepFeatures deep) {
  divide_text(rows_at_once);
  // Run as a whole, the network itself shares what rows have in common.
  const bool shared = sample.size(0) < rows_ && rows_at_once >= rows_;
  const at::Tensor input = shared ? sample : cpu::repeated(sample, rows_ / sample.size(0));
  const int64_t frames = input.size(2);
  std::vector<at::Tensor> outputs;
  std::vector<at::Tensor> kept;
  for (int64_t row = 0; row < rows_; row += rows_at_once) {
    const int64_t count = std::min(rows_at_once, rows_ - row);
    const at::Tensor piece = shared ? input : input.narrow(0, row, count);
    const at::Tensor time = at::full({count}, timestep, piece.options().dtype(at::kFloat));
    const size_t part = outputs.size();
    std::vector<c10::IValue> inputs{piece, time, texts_[part], norm_over_frames_, motion_norm_over_frames_};
    const cuda::TextKeys::Use use(keys_[part]);
    if (deep == DeepFeatures::kForget) {
      // A recording keeps memory for its activations, which a batch in pieces lacks.
      const bool recorded =
          unet_.records() && count == rows_ && count * frames * input.size(3) * input.size(4) <= most_recorded_;
      const at::Tensor output = recorded ? unet_.repeat(inputs, kText) : unet_(std::move(inputs));
      outputs.push_back(output.to(at::kFloat, /*non_blocking=*/false, /*copy=*/recorded));
      continue;
    }
    const bool reuse = deep == DeepFeatures::kReuse;
    inputs.emplace_back(reuse ? c10::IValue(deep_.narrow(0, row * frames, count * frames)) : c10::IValue());
    const c10::IValue result = unet_.call("predict", std::move(inputs));
    const auto& elements = result.toTupleRef().elements();
    outputs.push_back(elements[0].toTensor().to(at::kFloat));
    if (!reuse) kept.push_back(elements[1].toTensor());
  }
  if (!kept.empty()) deep_ = whole(kept);
  return whole(outputs);
}

}  // namespace animatediff
