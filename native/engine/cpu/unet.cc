// Convolutional modules of the UNet.
#include <ATen/ops/linear.h>

#include "modules.h"
#include "residual.h"

namespace animatediff::cpu {
namespace {

int64_t samples(const at::Tensor& x, int64_t frames, bool over_frames) {
  return over_frames ? x.size(0) / frames : x.size(0);
}

}  // namespace

at::Tensor conv2d(const Part& self, Inputs inputs) { return convolution(channels_last(inputs[0].toTensor()), self); }

at::Tensor frame_group_norm(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  return group_norm(x, self, norm_options(self, samples(x, inputs[1].toInt(), inputs[2].toBool())));
}

at::Tensor unet_resnet(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const int64_t count = samples(x, inputs[2].toInt(), inputs[3].toBool());
  const Part time = self["time_emb_proj"];
  at::Tensor hidden = group_norm(x, self["norm1"], norm_options(self["norm1"], count, true));
  hidden = convolution(hidden, self["conv1"]);
  GroupNormOptions second = norm_options(self["norm2"], count, true);
  // One row for each clip; the norm adds it to all of the clip's frames.
  second.shift = linear(first_rows(inputs[1].toTensor(), x.size(0) / inputs[2].toInt()), time).to(at::kFloat);
  hidden = group_norm(hidden, self["norm2"], second);
  return convolution(hidden, self["conv2"], shortcut(self, x));
}

at::Tensor unet_downsample(const Part& self, Inputs inputs) {
  return convolution(channels_last(inputs[0].toTensor()), self["conv"]);
}

at::Tensor unet_upsample(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  return upsampled_convolution(x, self["conv"], inputs[1].toInt(), inputs[2].toInt());
}

}  // namespace animatediff::cpu
