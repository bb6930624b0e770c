#include "graph.h"

#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <filesystem>
#include <unordered_map>

#include "cpu/packing.h"
#include "cpu/replace.h"
#include "cuda/replace.h"
#include "error.h"
#include "memory/offload.h"
#include "memory/shared_parameters.h"

namespace animatediff {
namespace {

torch::jit::Module child(const torch::jit::Module& module, const std::string& name, const std::string& full) {
  if (!module.hasattr(name) || !module.attr(name).isModule()) {
    throw EngineError(AD_WEIGHTS_MISSING, "The graph has no parameter " + full + ".");
  }
  return module.attr(name).toModule();
}

/** The module that holds a parameter, and the parameter's name in it. */
std::pair<torch::jit::Module, std::string> owner_of(torch::jit::Module module, const std::string& name) {
  size_t start = 0;
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', start)) {
    module = child(module, name.substr(start, dot - start), name);
    start = dot + 1;
  }
  const std::string leaf = name.substr(start);
  if (!module.hasattr(leaf) || !module.attr(leaf).isTensor()) {
    throw EngineError(AD_WEIGHTS_MISSING, "The graph has no parameter " + name + ".");
  }
  return {module, leaf};
}

void set_parameter(const torch::jit::Module& network, const std::string& name, const at::Tensor& value) {
  auto [module, leaf] = owner_of(network, name);
  module.setattr(leaf, value);
}

at::Tensor get_parameter(const torch::jit::Module& network, const std::string& name) {
  const auto [module, leaf] = owner_of(network, name);
  return module.attr(leaf).toTensor();
}

/** Writes the values over those that a parameter of the same kind has; false if it is of another kind or shared. */
bool overwrite_parameter(const torch::jit::Module& network, const std::string& name, const at::Tensor& value) {
  const at::Tensor old = get_parameter(network, name);
  if (old.is_meta() || value.is_meta() || old.sizes() != value.sizes() || old.scalar_type() != value.scalar_type()) {
    return false;
  }
  // The network's reference and `old`.
  if (!SharedParameters::of_process().withdraw(old, 2)) return false;
  old.copy_(value);
  return true;
}

uint64_t tensor_bytes(const at::Tensor& tensor) {
  return static_cast<uint64_t>(tensor.numel()) * tensor.element_size();  // packed tensors have no nbytes()
}

}  // namespace

Graph Graph::load(const std::string& path) {
  if (!std::filesystem::exists(path)) throw EngineError(AD_FILE_NOT_FOUND, "There is no graph " + path + ".");
  return Graph(path);
}

Graph::Graph(const std::string& path) : path_(path), module_(torch::jit::load(path)), loaded_(true) {}

void Graph::set(const std::string& name, const at::Tensor& value) {
  // Recorded work reads parameters where they lie, and fused ones lie behind one another.
  if (form_ == Form::kCuda && overwrite_parameter(module_, name, value)) return;
  replace(name, value.is_meta() ? value : value.to(place_));
}

void Graph::replace(const std::string& name, const at::Tensor& value) {
  forget_recordings();
  set_parameter(module_, name, value);
}

bool Graph::adopt(const std::string& name, const std::string& key) {
  const at::Tensor shared = SharedParameters::of_process().find(key);
  if (!shared.defined()) return false;
  if (!shared.is_same(get_parameter(module_, name))) replace(name, shared);
  return true;
}

void Graph::offer(const std::string& name, const std::string& key) {
  const at::Tensor own = get_parameter(module_, name);
  const at::Tensor shared = SharedParameters::of_process().offer(key, own);
  if (!shared.is_same(own)) replace(name, shared);
}

void Graph::fetch_parameters_on_use() {
  animatediff::fetch_parameters_on_use(module_);
  fetches_ = true;
}

void Graph::move(c10::Device place) {
  if (settled_ && place == place_) return;
  forget_recordings();
  place_ = place;
  settled_ = false;
  std::vector<std::pair<std::string, at::Tensor>> elsewhere;
  const auto look = [&](const std::string& name, const at::Tensor& tensor) {
    if (!tensor.is_meta() && tensor.device() != place) elsewhere.emplace_back(name, tensor);
  };
  for (const auto& parameter : module_.named_parameters()) look(parameter.name, parameter.value);
  for (const auto& buffer : module_.named_buffers()) look(buffer.name, buffer.value);
  for (auto& [name, tensor] : elsewhere) {
    set_parameter(module_, name, tensor.to(place));
    tensor.reset();  // the old one goes before the next one comes
  }
  settled_ = true;
}

void Graph::specialise_for_cpu() {
  cpu::replace_modules(module_);
  form_ = Form::kCpu;
  pack();
}

void Graph::specialise_for_cuda() {
  cuda::replace_modules(module_);
  form_ = Form::kCuda;
  recordings_ = std::make_unique<cuda::Recordings>();
  pack();
}

void Graph::pack() {
  if (form_ == Form::kCpu) cpu::pack_weights(module_);
  if (form_ == Form::kCuda) cuda::pack_weights(module_);
}

torch::jit::Module Graph::plain() const {
  if (form_ == Form::kPlain && !fetches_) return module_;
  torch::jit::Module module = torch::jit::load(path_);
  std::unordered_map<std::string, at::Tensor> values;
  for (const auto& parameter : module_.named_parameters()) values.emplace(parameter.name, parameter.value);
  for (const auto& parameter : module.named_parameters()) {
    const at::Tensor& packed = values.at(parameter.name);
    const at::IntArrayRef shape = parameter.value.sizes();
    const at::Tensor value = form_ == Form::kCpu ? cpu::unpacked(packed, shape) : cuda::unpacked(packed);
    set_parameter(module, parameter.name, value.reshape(shape));
  }
  for (const auto& buffer : module_.named_buffers()) set_parameter(module, buffer.name, buffer.value);
  return module;
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

at::Tensor Graph::operator()(std::vector<c10::IValue> inputs) { return call("forward", std::move(inputs)).toTensor(); }

at::Tensor Graph::repeat(const std::vector<c10::IValue>& inputs, size_t text) {
  // Parameters that are copied to the device for a call lie elsewhere the next time.
  if (!records()) return (*this)(inputs);
  return recordings_->call(inputs, text, [&](const std::vector<c10::IValue>& given) { return (*this)(given); });
}

void Graph::forget_recordings() {
  if (recordings_ != nullptr) recordings_->clear();
}

std::string Graph::recording_problem() const { return recordings_ == nullptr ? "" : recordings_->problem(); }

c10::IValue Graph::call(const std::string& method, std::vector<c10::IValue> inputs) {
  // Shapes change between calls: the profiling executor would specialise, compile and bail out again and again.
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  const DeviceOfCall device(inputs.at(0).toTensor().device());
  return module_.get_method(method)(std::move(inputs));
}

void Graph::to(c10::ScalarType dtype) {
  // Module::to would change the tensors themselves, which other networks may hold.
  std::vector<std::pair<std::string, at::Tensor>> others;
  const auto look = [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.is_floating_point() && tensor.scalar_type() != dtype) others.emplace_back(name, tensor);
  };
  for (const auto& parameter : module_.named_parameters()) look(parameter.name, parameter.value);
  for (const auto& buffer : module_.named_buffers()) look(buffer.name, buffer.value);
  for (auto& [name, tensor] : others) {
    replace(name, tensor.to(dtype));
    tensor.reset();
  }
}

c10::ScalarType Graph::dtype() const {
  for (const auto& parameter : module_.parameters()) return parameter.scalar_type();
  return at::kFloat;
}

int64_t Graph::length(const std::string& name, int64_t dimension) const {
  for (const auto& parameter : module_.named_parameters()) {
    if (parameter.name == name) return parameter.value.size(dimension);
  }
  return 0;
}

uint64_t Graph::bytes() const {
  uint64_t total = 0;
  for (const auto& parameter : module_.parameters()) total += tensor_bytes(parameter);
  for (const auto& buffer : module_.buffers()) total += tensor_bytes(buffer);
  return total;
}

}  // namespace animatediff
