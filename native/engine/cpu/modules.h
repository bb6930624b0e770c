// What the CPU runs in place of the forward() of a graph's modules: the same function of the same inputs, on
// channels-last pictures, with oneDNN's packed weights and the engine's own kernels. scripts/graphs has the originals,
// class for class.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "part.h"

namespace animatediff::cpu {

/** The inputs of a module's forward() after `self`, as TorchScript passes them. */
using Inputs = std::span<const c10::IValue>;

/** torch.nn.Conv2d: x. */
at::Tensor conv2d(const Part& self, Inputs inputs);
/** unet.ResnetBlock: x, temb, frames, norm_over_frames. */
at::Tensor unet_resnet(const Part& self, Inputs inputs);
/** unet.Downsample: x. */
at::Tensor unet_downsample(const Part& self, Inputs inputs);
/** unet.Upsample: x, height, width. */
at::Tensor unet_upsample(const Part& self, Inputs inputs);
/** norm.FrameGroupNorm: x, frames, over_frames. */
at::Tensor frame_group_norm(const Part& self, Inputs inputs);
/** attention.SpatialTransformer: x, text, repeats. */
at::Tensor spatial_transformer(const Part& self, Inputs inputs);
/** motion.TemporalTransformer: x, frames, norm_over_frames. */
at::Tensor temporal_transformer(const Part& self, Inputs inputs);
/** vae.ResnetBlock: x. */
at::Tensor vae_resnet(const Part& self, Inputs inputs);
/** vae.PixelAttention: x. */
at::Tensor vae_attention(const Part& self, Inputs inputs);
/** vae.Downsample: x. */
at::Tensor vae_downsample(const Part& self, Inputs inputs);
/** vae.Upsample: x. */
at::Tensor vae_upsample(const Part& self, Inputs inputs);
/** torch.nn.GroupNorm: x. */
at::Tensor plain_group_norm(const Part& self, Inputs inputs);

}  // namespace animatediff::cpu
