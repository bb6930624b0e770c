#include "graph.h"

#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <filesystem>

#include "error.h"

namespace animatediff {
namespace {

torch::jit::Module child(const torch::jit::Module& module, const std::string& name, const std::string& full) {
  if (!module.hasattr(name) || !module.attr(name).isModule()) {
    throw EngineError(AD_WEIGHTS_MISSING, "The graph has no parameter " + full + ".");
  }
  return module.attr(name).toModule();
}

}  // namespace

Graph Graph::load(const std::string& path) {
  if (!std::filesystem::exists(path)) throw EngineError(AD_FILE_NOT_FOUND, "There is no graph " + path + ".");
  return Graph(torch::jit::load(path));
}

void Graph::set(const std::string& name, const at::Tensor& value) {
  torch::jit::Module module = module_;
  size_t start = 0;
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', start)) {
    module = child(module, name.substr(start, dot - start), name);
    start = dot + 1;
  }
  const std::string leaf = name.substr(start);
  if (!module.hasattr(leaf) || !module.attr(leaf).isTensor()) {
    throw EngineError(AD_WEIGHTS_MISSING, "The graph has no parameter " + name + ".");
  }
  module.setattr(leaf, value);
}

void Graph::require_complete() const {
  std::string names;
  size_t missing = 0;
  const auto check = [&](const std::string& name, const at::Tensor& tensor) {
    if (!tensor.is_meta()) return;
    if (++missing <= 5) names += (names.empty() ? "" : ", ") + name;
  };
  for (const auto& parameter : module_.named_parameters()) check(parameter.name, parameter.value);
  for (const auto& buffer : module_.named_buffers()) check(buffer.name, buffer.value);
  if (missing > 0) {
    throw EngineError(AD_WEIGHTS_MISSING,
                      std::to_string(missing) + " parameters were not filled, such as " + names + ".");
  }
}

at::Tensor Graph::operator()(std::vector<c10::IValue> inputs) {
  // Shapes change between calls: the profiling executor would specialise, compile and bail out again and again.
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  return module_.forward(std::move(inputs)).toTensor();
}

void Graph::to(c10::ScalarType dtype) { module_.to(dtype); }

c10::ScalarType Graph::dtype() const {
  for (const auto& parameter : module_.parameters()) return parameter.scalar_type();
  return at::kFloat;
}

uint64_t Graph::bytes() const {
  uint64_t total = 0;
  for (const auto& parameter : module_.parameters()) total += parameter.nbytes();
  for (const auto& buffer : module_.buffers()) total += buffer.nbytes();
  return total;
}

}  // namespace animatediff
