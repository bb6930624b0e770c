#include "replace.h"

#include <array>
#include <string>

#include "layers.h"
#include "modules.h"

namespace animatediff::cuda {
namespace {

constexpr std::array kReplacements{
    Replacement{"torch.nn.modules.normalization", "GroupNorm", "cuda_group_norm(Any self, Tensor x)", plain_group_norm},
    Replacement{"graphs.norm", "FrameGroupNorm",
                "cuda_frame_group_norm(Any self, Tensor x, int frames, bool over_frames)", frame_group_norm},
    Replacement{"graphs.unet", "ResnetBlock",
                "cuda_unet_resnet(Any self, Tensor x, Tensor temb, int frames, bool norm_over_frames)", unet_resnet},
    Replacement{"graphs.vae", "ResnetBlock", "cuda_vae_resnet(Any self, Tensor x)", vae_resnet},
    Replacement{"graphs.unet", "Upsample", "cuda_unet_upsample(Any self, Tensor x, int height, int width)",
                unet_upsample},
    Replacement{"graphs.unet", "Skip", "cuda_unet_skip(Any self, Tensor x, Tensor skip)", unet_skip},
    Replacement{"graphs.vae", "Upsample", "cuda_vae_upsample(Any self, Tensor x)", vae_upsample},
    Replacement{"graphs.attention", "SpatialTransformer",
                "cuda_spatial_transformer(Any self, Tensor x, Tensor text, int repeats)", spatial_transformer},
    Replacement{"graphs.motion", "TemporalTransformer",
                "cuda_temporal_transformer(Any self, Tensor x, int frames, bool norm_over_frames)",
                temporal_transformer},
};

}  // namespace

void replace_modules(const torch::jit::Module& network) { animatediff::replace_modules(network, kReplacements); }

void pack_weights(const torch::jit::Module& network) {
  for (const auto& [name, module] : network.named_modules()) {
    const Part part(module._ivalue());
    const std::string kind = part.class_name();
    if (kind == "Conv2d") {
      // Otherwise each call would convert the weight to the order of its input.
      part.set("weight", channels_last(part.tensor("weight")));
    } else if (kind == "TemporalAttention" || (kind == "Attention" && name.ends_with("attn1"))) {
      fuse_projections(part);
    }
  }
}

at::Tensor unpacked(const at::Tensor& weight) {
  const bool whole = weight.storage().nbytes() == weight.nbytes();
  return whole ? weight.contiguous() : weight.clone(at::MemoryFormat::Contiguous);
}

}  // namespace animatediff::cuda
