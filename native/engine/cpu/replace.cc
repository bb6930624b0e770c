#include "replace.h"

#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/custom_operator.h>

#include <algorithm>
#include <array>
#include <string>
#include <unordered_set>

#include "modules.h"
#include "packing.h"

namespace animatediff::cpu {
namespace {

using Body = at::Tensor (*)(const Part&, Inputs);

struct Replacement {
  /** Python module and class of scripts/graphs or torch. */
  const char* module;
  const char* name;
  /** The operator's name and its inputs after `self`. */
  const char* signature;
  Body body;
};

constexpr std::array kReplacements{
    Replacement{"torch.nn.modules.conv", "Conv2d", "conv2d(Any self, Tensor x)", conv2d},
    Replacement{"torch.nn.modules.normalization", "GroupNorm", "group_norm(Any self, Tensor x)", plain_group_norm},
    Replacement{"graphs.norm", "FrameGroupNorm", "frame_group_norm(Any self, Tensor x, int frames, bool over_frames)",
                frame_group_norm},
    Replacement{"graphs.unet", "ResnetBlock",
                "unet_resnet(Any self, Tensor x, Tensor temb, int frames, bool norm_over_frames)", unet_resnet},
    Replacement{"graphs.unet", "Downsample", "unet_downsample(Any self, Tensor x)", unet_downsample},
    Replacement{"graphs.unet", "Upsample", "unet_upsample(Any self, Tensor x, int height, int width)", unet_upsample},
    Replacement{"graphs.attention", "SpatialTransformer", "spatial_transformer(Any self, Tensor x, Tensor text)",
                spatial_transformer},
    Replacement{"graphs.motion", "TemporalTransformer",
                "temporal_transformer(Any self, Tensor x, int frames, bool norm_over_frames)", temporal_transformer},
    Replacement{"graphs.vae", "ResnetBlock", "vae_resnet(Any self, Tensor x)", vae_resnet},
    Replacement{"graphs.vae", "PixelAttention", "vae_attention(Any self, Tensor x)", vae_attention},
    Replacement{"graphs.vae", "Downsample", "vae_downsample(Any self, Tensor x)", vae_downsample},
    Replacement{"graphs.vae", "Upsample", "vae_upsample(Any self, Tensor x)", vae_upsample},
};

std::string operator_name(const Replacement& replacement) {
  const std::string signature = replacement.signature;
  return "animatediff::" + signature.substr(0, signature.find('('));
}

void run(const Replacement& replacement, size_t inputs, torch::jit::Stack& stack) {
  const auto arguments = torch::jit::last(stack, inputs);
  at::Tensor result = replacement.body(Part(arguments[0]), Inputs(arguments.begin() + 1, inputs - 1));
  torch::jit::drop(stack, inputs);
  torch::jit::push(stack, std::move(result));
}

void register_operators() {
  static const bool registered = [] {
    for (const Replacement& replacement : kReplacements) {
      const std::string schema = std::string("animatediff::") + replacement.signature + " -> Tensor";
      const std::string inputs = replacement.signature;
      const auto count = 1 + static_cast<size_t>(std::count(inputs.begin(), inputs.end(), ','));
      torch::jit::registerOperator(torch::jit::Operator(
          schema, [&replacement, count](torch::jit::Stack& stack) { run(replacement, count, stack); },
          c10::AliasAnalysisKind::FROM_SCHEMA));
    }
    return true;
  }();
  static_cast<void>(registered);
}

// `__torch__.graphs.unet.___torch_mangle_81.ResnetBlock`: the same class with another number for other widths.
const Replacement* find(const c10::ClassType& type) {
  const auto& name = type.name();
  if (!name.has_value()) return nullptr;
  for (const Replacement& replacement : kReplacements) {
    const std::string prefix = std::string("__torch__.") + replacement.module;
    const std::string& given = name->prefix();
    const bool same = given == prefix || given.starts_with(prefix + ".___torch_mangle_");
    if (same && name->name() == replacement.name) return &replacement;
  }
  return nullptr;
}

void replace_forward(torch::jit::Function& forward, const Replacement& replacement) {
  const auto graph = torch::jit::toGraphFunction(forward).graph();
  torch::jit::Node* const node = graph->create(c10::Symbol::fromQualString(operator_name(replacement)));
  for (torch::jit::Value* const input : graph->inputs()) node->addInput(input);
  graph->appendNode(node);
  graph->block()->replaceOutput(0, node->output());
  // What led to the old output goes, last first, so that nothing is still in use.
  for (auto old = ++graph->nodes().rbegin(); old != graph->nodes().rend();) {
    torch::jit::Node* const useless = *old;
    ++old;
    useless->destroy();
  }
  graph->lint();
}

bool is_layer(const torch::jit::Module& module) {
  const std::string& name = module.type()->name()->name();
  return name == "Linear" || name == "Conv2d";
}

// Layers that run once for a text or on one row for a clip gain nothing and keep what they have.
bool runs_on_pixels(const std::string& name) {
  return !name.ends_with("time_emb_proj") && !name.ends_with("attn2.to_k") && !name.ends_with("attn2.to_v");
}

}  // namespace

void replace_modules(const torch::jit::Module& network) {
  register_operators();
  std::unordered_set<const c10::ClassType*> done;
  for (const auto& module : network.modules()) {
    const auto type = module.type();
    if (!done.insert(type.get()).second) continue;
    if (const Replacement* const replacement = find(*type)) {
      replace_forward(module.get_method("forward").function(), *replacement);
    }
  }
}

void pack_weights(const torch::jit::Module& network) {
  std::unordered_set<std::string> replaced;
  for (const auto& [name, module] : network.named_modules()) {
    const size_t dot = name.rfind('.');
    const bool inside = dot != std::string::npos && replaced.contains(name.substr(0, dot));
    if (!inside && find(*module.type()) == nullptr) continue;
    replaced.insert(name);
    if (is_layer(module) && runs_on_pixels(name)) pack(Part(module._ivalue()));
  }
}

}  // namespace animatediff::cpu
