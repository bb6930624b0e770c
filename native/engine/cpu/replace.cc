#include "replace.h"

#include <array>
#include <string>
#include <unordered_set>

#include "../replacement.h"
#include "modules.h"
#include "packing.h"

namespace animatediff::cpu {
namespace {

constexpr std::array kReplacements{
    Replacement{"torch.nn.modules.conv", "Conv2d", "conv2d(Any self, Tensor x)", conv2d},
    Replacement{"torch.nn.modules.normalization", "GroupNorm", "group_norm(Any self, Tensor x)", plain_group_norm},
    Replacement{"graphs.norm", "FrameGroupNorm", "frame_group_norm(Any self, Tensor x, int frames, bool over_frames)",
                frame_group_norm},
    Replacement{"graphs.unet", "ResnetBlock",
                "unet_resnet(Any self, Tensor x, Tensor temb, int frames, bool norm_over_frames)", unet_resnet},
    Replacement{"graphs.unet", "Downsample", "unet_downsample(Any self, Tensor x)", unet_downsample},
    Replacement{"graphs.unet", "Upsample", "unet_upsample(Any self, Tensor x, int height, int width)", unet_upsample},
    Replacement{"graphs.attention", "SpatialTransformer",
                "spatial_transformer(Any self, Tensor x, Tensor text, int repeats)", spatial_transformer},
    Replacement{"graphs.motion", "TemporalTransformer",
                "temporal_transformer(Any self, Tensor x, int frames, bool norm_over_frames)", temporal_transformer},
    Replacement{"graphs.vae", "ResnetBlock", "vae_resnet(Any self, Tensor x)", vae_resnet},
    Replacement{"graphs.vae", "PixelAttention", "vae_attention(Any self, Tensor x)", vae_attention},
    Replacement{"graphs.vae", "Downsample", "vae_downsample(Any self, Tensor x)", vae_downsample},
    Replacement{"graphs.vae", "Upsample", "vae_upsample(Any self, Tensor x)", vae_upsample},
};

bool is_layer(const torch::jit::Module& module) {
  const std::string& name = module.type()->name()->name();
  return name == "Linear" || name == "Conv2d";
}

// Layers that run once for a text or on one row for a clip gain nothing and keep what they have.
bool runs_on_pixels(const std::string& name) {
  return !name.ends_with("time_emb_proj") && !name.ends_with("attn2.to_k") && !name.ends_with("attn2.to_v");
}

}  // namespace

void replace_modules(const torch::jit::Module& network) { animatediff::replace_modules(network, kReplacements); }

void pack_weights(const torch::jit::Module& network) {
  std::unordered_set<std::string> replaced;
  for (const auto& [name, module] : network.named_modules()) {
    const size_t dot = name.rfind('.');
    const bool inside = dot != std::string::npos && replaced.contains(name.substr(0, dot));
    if (!inside && find_replacement(kReplacements, *module.type()) == nullptr) continue;
    replaced.insert(name);
    if (is_layer(module) && runs_on_pixels(name)) pack(Part(module._ivalue()), name.ends_with("ff.net.0.proj"));
  }
}

}  // namespace animatediff::cpu
