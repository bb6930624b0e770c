// What CUDA runs in place of the forward() of a graph's modules: the same function of the same inputs, on channels-last
// pictures, with the operators of ../operators/operators.h and LibTorch's matrix products, convolutions and attention.
// Nothing here names a device, so that the tests run it on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include "../replacement.h"

namespace animatediff::cuda {

using cpu::Part;
using Inputs = Replacement::Inputs;

/** torch.nn.GroupNorm: x. */
at::Tensor plain_group_norm(const Part& self, Inputs inputs);
/** norm.FrameGroupNorm: x, frames, over_frames. */
at::Tensor frame_group_norm(const Part& self, Inputs inputs);
/** unet.ResnetBlock: x, temb, frames, norm_over_frames. */
at::Tensor unet_resnet(const Part& self, Inputs inputs);
/** vae.ResnetBlock: x. */
at::Tensor vae_resnet(const Part& self, Inputs inputs);
/** unet.Upsample: x, height, width. */
at::Tensor unet_upsample(const Part& self, Inputs inputs);
/** unet.Skip: x, skip. */
at::Tensor unet_skip(const Part& self, Inputs inputs);
/** vae.Upsample: x. */
at::Tensor vae_upsample(const Part& self, Inputs inputs);
/** attention.SpatialTransformer: x, text, repeats. */
at::Tensor spatial_transformer(const Part& self, Inputs inputs);
/** motion.TemporalTransformer: x, frames, norm_over_frames. */
at::Tensor temporal_transformer(const Part& self, Inputs inputs);

}  // namespace animatediff::cuda
