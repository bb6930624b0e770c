// A cheap picture of latents, without the VAE.
#pragma once

#include <ATen/core/Tensor.h>

namespace animatediff {

/** Latents [4, frames, h, w] float32 of Stable Diffusion 1.x to uint8 RGB [frames, h, w, 3] on the CPU. */
at::Tensor latent_preview(const at::Tensor& latents);

}  // namespace animatediff
