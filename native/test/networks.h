// Networks of the package's graphs with random parameters.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cmath>
#include <string>
#include <vector>

namespace networks {

using torch::jit::Module;

inline void fill(const Module& module) {
  for (const auto& part : module.modules()) {
    for (const auto& parameter : part.named_parameters(false)) {
      const at::Tensor& given = parameter.value;
      // Near what trained networks have, so that activations neither vanish nor explode.
      const double scale = given.dim() > 1 ? 1 / std::sqrt(given.numel() / given.size(0)) : 0.2;
      const double middle = given.dim() == 1 && parameter.name == "weight" ? 1 : 0;
      Module(part).setattr(parameter.name, at::randn(given.sizes()) * scale + middle);
    }
    for (const auto& buffer : part.named_buffers(false)) {
      Module(part).setattr(buffer.name, at::randn(buffer.value.sizes()) * 0.5);
    }
  }
}

// Timesteps stay float32, as the sampler gives them.
inline at::Tensor run(Module& module, std::vector<c10::IValue> inputs, at::ScalarType type) {
  for (c10::IValue& input : inputs) {
    if (input.isTensor() && input.toTensor().dim() > 1) input = input.toTensor().to(type);
  }
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  return module.forward(std::move(inputs)).toTensor();
}

/** The graph of that name as its archive has it, without parameters. */
inline Module load(const char* graph) { return torch::jit::load(std::string("native/graphs/") + graph + ".pt"); }

/** Gives `to` the parameters and buffers of `from`, a network of the same graph. */
inline void share(const Module& from, const Module& to) {
  const auto names = from.named_modules();
  auto target = to.named_modules().begin();
  for (const auto& [name, module] : names) {
    for (const auto& parameter : module.named_parameters(false)) {
      Module((*target).value).setattr(parameter.name, parameter.value);
    }
    for (const auto& buffer : module.named_buffers(false)) Module((*target).value).setattr(buffer.name, buffer.value);
    ++target;
  }
}

}  // namespace networks
