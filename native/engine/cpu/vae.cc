// Modules of the autoencoder.
#include <ATen/ops/constant_pad_nd.h>

#include "attention.h"
#include "modules.h"
#include "residual.h"

namespace animatediff::cpu {

at::Tensor plain_group_norm(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  return group_norm(x, self, norm_options(self, x.size(0)));
}

at::Tensor vae_resnet(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  at::Tensor hidden = group_norm(x, self["norm1"], norm_options(self["norm1"], x.size(0), true));
  hidden = convolution(hidden, self["conv1"]);
  hidden = group_norm(hidden, self["norm2"], norm_options(self["norm2"], x.size(0), true));
  return convolution(hidden, self["conv2"], shortcut(self, x));
}

at::Tensor vae_attention(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const at::Tensor hidden = tokens(group_norm(x, self["group_norm"], norm_options(self["group_norm"], x.size(0))));
  const at::Tensor out =
      self_attention(linear(hidden, self["to_q"]), linear(hidden, self["to_k"]), linear(hidden, self["to_v"]), 1);
  return picture(linear(out, self["to_out"]["0"], tokens(x)), x);
}

at::Tensor vae_downsample(const Part& self, Inputs inputs) {
  const at::Tensor padded = at::constant_pad_nd(inputs[0].toTensor(), {0, 1, 0, 1});
  return convolution(channels_last(padded), self["conv"]);
}

at::Tensor vae_upsample(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  return upsampled_convolution(x, self["conv"], 2 * x.size(2), 2 * x.size(3));
}

}  // namespace animatediff::cpu
