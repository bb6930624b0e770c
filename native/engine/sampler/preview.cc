#include "preview.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>

namespace animatediff {

at::Tensor latent_preview(const at::Tensor& latents) {
  // Least-squares map from Stable Diffusion 1.x latents to RGB in -1..1, as several user interfaces publish it.
  static const at::Tensor* const map = new at::Tensor(at::tensor({0.3512F, 0.2297F, 0.3227F,   //
                                                                  0.3250F, 0.4974F, 0.2350F,   //
                                                                  -0.2829F, 0.1762F, 0.2721F,  //
                                                                  -0.2120F, -0.2616F, -0.7177F})
                                                          .view({4, 3}));
  const at::Tensor pixels = latents.to(at::kCPU, at::kFloat).permute({1, 2, 3, 0}).matmul(*map);
  return ((pixels + 1.0) * 127.5).clamp(0, 255).to(at::kByte).contiguous();
}

}  // namespace animatediff
