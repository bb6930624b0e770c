#include "engine.h"

#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>

#include "archive.h"
#include "device.h"
#include "dtype.h"
#include "error.h"
#include "sampler/denoise.h"
#include "tensor_view.h"
#include "weights.h"

namespace animatediff {

const char* role_name(ad_role role) {
  switch (role) {
    case AD_TEXT_ENCODER: return "text_encoder";
    case AD_UNET: return "unet";
    case AD_VAE_DECODER: return "vae_decoder";
    case AD_VAE_ENCODER: return "vae_encoder";
    case AD_ROLE_COUNT: break;
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown network " + std::to_string(role) + ".");
}

void Callbacks::progress(ad_phase phase, uint64_t done, uint64_t total, const ad_tensor* preview) const {
  if (callbacks_ != nullptr && callbacks_->progress != nullptr) {
    callbacks_->progress(callbacks_->context, phase, done, total, preview);
  }
}

void Callbacks::notice(const char* code, const char* message) const {
  if (callbacks_ != nullptr && callbacks_->notice != nullptr) callbacks_->notice(callbacks_->context, code, message);
}

void Callbacks::check_cancelled() const {
  if (callbacks_ != nullptr && callbacks_->cancelled != nullptr && callbacks_->cancelled(callbacks_->context) != 0) {
    throw EngineError(AD_ABORTED, "The call was aborted.");
  }
}

Engine::Engine(const ad_engine_options& options)
    : device_(resolve_device(options)), dtype_(scalar_type(options.dtype)), threads_(options.threads) {
  if (dtype_ != at::kFloat && dtype_ != at::kHalf && dtype_ != at::kBFloat16) {
    throw EngineError(AD_INVALID_ARGUMENT, "Networks run in float32, float16 or bfloat16.");
  }
}

void Engine::enter() const {
  // OpenMP keeps the thread count per calling thread.
  if (threads_ > 0) at::set_num_threads(threads_);
}

Graph& Engine::graph(ad_role role) {
  Graph& graph = graphs_.at(static_cast<size_t>(role));
  if (!graph.loaded()) {
    throw EngineError(AD_WEIGHTS_MISSING, std::string("The engine has no ") + role_name(role) + ".");
  }
  return graph;
}

void Engine::bind(ad_role role, const std::string& path, std::span<const ad_recipe> recipes,
                  const Callbacks& callbacks) {
  const c10::InferenceMode inference;
  if (role >= AD_ROLE_COUNT) throw EngineError(AD_INVALID_ARGUMENT, "Unknown network " + std::to_string(role) + ".");
  Graph graph = Graph::load(path);
  uint64_t total = 0;
  for (const ad_recipe& recipe : recipes) total += source_bytes(recipe);
  graphs_.at(static_cast<size_t>(role)) = Graph();  // frees the old weights before the new ones are read
  SourceFiles files;
  uint64_t done = 0;
  for (const ad_recipe& recipe : recipes) {
    callbacks.check_cancelled();
    graph.set(recipe.target, read_parameter(recipe, files, dtype_, device_));
    done += source_bytes(recipe);
    callbacks.progress(AD_PHASE_WEIGHTS, done, total);
  }
  graph.require_complete();
  graphs_.at(static_cast<size_t>(role)) = std::move(graph);
}

void Engine::bake(const std::string& path, const std::string& metadata) const {
  const c10::InferenceMode inference;
  save_archive(path, metadata, graphs_);
}

std::unique_ptr<ad_result> Engine::load_archive(const std::string& path) {
  const c10::InferenceMode inference;
  auto result = std::make_unique<ad_result>();
  std::string metadata = read_archive(path, device_, dtype_, graphs_);
  result->add("metadata", at::from_blob(metadata.data(), {static_cast<int64_t>(metadata.size())}, at::kByte).clone());
  return result;
}

std::unique_ptr<ad_result> Engine::generate(const ad_request& request, const Callbacks& callbacks) {
  const c10::InferenceMode inference;
  const Pipeline pipeline{graph(AD_TEXT_ENCODER), graph(AD_UNET), graph(AD_VAE_DECODER), device_, dtype_};
  return run_pipeline(pipeline, request, callbacks);
}

std::unique_ptr<ad_result> Engine::forward(ad_role role, std::span<const ad_tensor> inputs,
                                           std::span<const int64_t> integers) {
  const c10::InferenceMode inference;
  std::vector<c10::IValue> values;
  for (const ad_tensor& input : inputs) {
    const at::Tensor view = view_tensor(input);
    const bool timestep = role == AD_UNET && values.size() == 1;
    const auto type = view.is_floating_point() && !timestep ? dtype_ : view.scalar_type();
    values.emplace_back(view.to(device_, type, false, true));
  }
  for (const int64_t value : integers) {
    if (role == AD_UNET) values.emplace_back(value != 0);
    else values.emplace_back(value);
  }
  auto result = std::make_unique<ad_result>();
  result->add("output", graph(role)(std::move(values)).to(at::kFloat));
  return result;
}

ad_memory Engine::memory() const {
  ad_memory memory{};
  for (const Graph& graph : graphs_) {
    if (graph.loaded()) memory.weights += graph.bytes();
  }
  memory.device_peak = peak_device_bytes(device_);
  return memory;
}

}  // namespace animatediff
