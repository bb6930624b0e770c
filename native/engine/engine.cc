#include "engine.h"

#include <ATen/Parallel.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <exception>

#include "archive.h"
#include "cpu/packing.h"
#include "cuda/library.h"
#include "device.h"
#include "dtype.h"
#include "error.h"
#include "host_memory.h"
#include "memory/exhaustion.h"
#include "memory/shared_parameters.h"
#include "sampler/denoise.h"
#include "tensor_view.h"
#include "weights.h"

namespace animatediff {

namespace {

void release_unused_memory(c10::Device device) {
  release_free_host_memory();
  release_device_cache(device);
  release_pinned_memory(device);
}

// After a failure, which may have been for want of memory, what the allocators keep is given back.
class ReleaseAfterFailure {
 public:
  explicit ReleaseAfterFailure(c10::Device device) : device_(device), failures_(std::uncaught_exceptions()) {}
  ReleaseAfterFailure(const ReleaseAfterFailure&) = delete;
  ReleaseAfterFailure& operator=(const ReleaseAfterFailure&) = delete;
  ~ReleaseAfterFailure() {
    if (std::uncaught_exceptions() > failures_) release_unused_memory(device_);
  }

 private:
  c10::Device device_;
  int failures_;
};

// Activations are not kept while a pipeline waits for its next request.
class ReleaseAtEnd {
 public:
  explicit ReleaseAtEnd(c10::Device device) : after_failure_(device) {}
  ReleaseAtEnd(const ReleaseAtEnd&) = delete;
  ReleaseAtEnd& operator=(const ReleaseAtEnd&) = delete;
  ~ReleaseAtEnd() { release_free_host_memory(); }

 private:
  ReleaseAfterFailure after_failure_;
};

// A recording keeps its activations, 1 GB for 16 frames of 512x512 with guidance in 16 bits. Those are 2 % faster with
// it on an H200, ones of 256x256 6 %.
int64_t most_recorded(ad_memory_mode mode) {
  constexpr int64_t kFrames = 16;
  switch (mode) {
    case AD_MEMORY_LOW: return 0;
    case AD_MEMORY_AUTO: return kFrames * 64 * 64;
    case AD_MEMORY_HIGH: return 2 * kFrames * 64 * 64;
  }
  return 0;
}

// LibTorch's own choice of threads, asked for before the first engine changes it for the process.
int32_t default_threads() {
  static const int32_t threads = at::get_num_threads();
  return threads;
}

}  // namespace

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
    : device_(resolve_device(options)),
      dtype_(scalar_type(options.dtype)),
      threads_(options.threads),
      memory_mode_(options.memory),
      specialise_(options.plain == 0 &&
                  (device_.is_cpu() ? cpu::packs(dtype_) : cuda::kernels_problem(device_).empty())) {
  if (dtype_ != at::kFloat && dtype_ != at::kHalf && dtype_ != at::kBFloat16) {
    throw EngineError(AD_INVALID_ARGUMENT, "Networks run in float32, float16 or bfloat16.");
  }
  default_threads();
  use_arena_for_host_tensors();
  // Errors keep their own type and text instead of a listing of the graph.
  FLAGS_torch_jit_enable_rethrow_caught_exception = true;
  if (!device_.is_cpu()) avoid_fragments();
  if (!device_.is_cpu() && dtype_ == at::kFloat) use_full_float32();
}

Engine::~Engine() {
  graphs_ = {};
  release_unused_memory(device_);
}

void Engine::enter() const {
  // OpenMP keeps the count per calling thread, and LibTorch passes the last one on to threads that start later.
  at::set_num_threads(threads_ > 0 ? threads_ : default_threads());
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
  const ReleaseAfterFailure release(device_);
  Graph graph = Graph::load(path);
  sizes_.reset();
  graphs_.at(static_cast<size_t>(role)) = Graph();  // frees the old weights before the new ones are read
  if (!device_.is_cpu()) graph.fetch_parameters_on_use();
  const bool waits = memory_mode_ == AD_MEMORY_LOW && role != AD_UNET;
  graph.move(waits ? c10::Device(c10::DeviceType::CPU) : device_);
  const Offers offers = retry_smaller(
      device_, [&] { return fill(graph, recipes, layout(role), callbacks); },
      [&](const std::string& reason) {
        if (graph.place().is_cpu()) {
          throw EngineError(AD_OUT_OF_MEMORY,
                            std::string("Out of memory while the ") + role_name(role) +
                                " was loaded. Free memory on the host, or load with a 16-bit dtype.",
                            reason);
        }
        graph.move(c10::DeviceType::CPU);
        callbacks.notice("memory-retry", (std::string("Out of memory on the device while the ") + role_name(role) +
                                          " was loaded; it stays on the host until it is used.")
                                             .c_str());
      });
  graph.require_complete();
  if (specialises(role)) {
    if (device_.is_cpu()) graph.specialise_for_cpu();
    else graph.specialise_for_cuda();
  }
  for (const auto& [name, key] : offers) graph.offer(name, key);
  release_device_cache(device_);  // what other layouts of the weights lay in
  graphs_.at(static_cast<size_t>(role)) = std::move(graph);
}

void Engine::rebind(ad_role role, std::span<const ad_recipe> recipes, const Callbacks& callbacks) {
  const c10::InferenceMode inference;
  const ReleaseAtEnd release(device_);
  Graph& network = graph(role);
  const Offers offers = fill(network, recipes, layout(role), callbacks);
  network.pack();
  for (const auto& [name, key] : offers) network.offer(name, key);
}

// Weights of a device's layout may wait on the host, too.
std::string Engine::layout(ad_role role) const { return specialises(role) ? device_.str() : "plain"; }

Engine::Offers Engine::fill(Graph& graph, std::span<const ad_recipe> recipes, const std::string& layout,
                            const Callbacks& callbacks) const {
  uint64_t total = 0;
  for (const ad_recipe& recipe : recipes) total += source_bytes(recipe);
  SourceFiles files;
  Destination place(graph.place());
  Offers offers;
  uint64_t done = 0;
  for (const ad_recipe& recipe : recipes) {
    callbacks.check_cancelled();
    const auto key = parameter_key(recipe, files, dtype_, place.device(), layout);
    if (!key.has_value() || !graph.adopt(recipe.target, *key)) {
      graph.set(recipe.target, read_parameter(recipe, files, dtype_, place));
      if (key.has_value()) offers.emplace_back(recipe.target, *key);
    }
    done += source_bytes(recipe);
    callbacks.progress(AD_PHASE_WEIGHTS, done, total);
  }
  return offers;
}

void Engine::bake(const std::string& path, const std::string& metadata) const {
  const c10::InferenceMode inference;
  save_archive(path, metadata, graphs_);
}

std::unique_ptr<ad_result> Engine::generate(const ad_request& request, const Callbacks& callbacks) {
  const c10::InferenceMode inference;
  const Pipeline pipeline{graph(AD_TEXT_ENCODER),     graph(AD_UNET), graph(AD_VAE_DECODER), device_, dtype_,
                          most_recorded(memory_mode_)};
  const ReleaseAtEnd release(device_);
  const MemoryPlan before = plan_;
  work_ = workload(request);
  if (!sizes_.has_value()) sizes_ = sizes(pipeline);
  const NetworkSizes& networks = *sizes_;
  const DeviceMemory memory = memory_of(pipeline, request, networks);
  plan_ = plan_memory(memory_mode_, work_, networks, memory);
  const bool reduced = plan_ != plan_memory(AD_MEMORY_HIGH, work_, networks, memory);
  if (memory_mode_ == AD_MEMORY_AUTO && reduced && plan_ != before) {
    callbacks.notice("memory-plan", ("Memory is short: " + describe_plan(plan_, work_) + ".").c_str());
  }
  return run_pipeline(pipeline, request, plan_, callbacks);
}

std::unique_ptr<ad_result> Engine::forward(ad_role role, std::span<const ad_tensor> inputs,
                                           std::span<const int64_t> integers) {
  const c10::InferenceMode inference;
  const ReleaseAfterFailure release(device_);
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
  Graph& network = graph(role);
  network.move(device_);
  auto result = std::make_unique<ad_result>();
  result->add("output", network(std::move(values)).to(at::kFloat));
  return result;
}

ad_memory Engine::memory() const {
  ad_memory memory{};
  for (const Graph& graph : graphs_) {
    if (graph.loaded()) memory.weights += graph.bytes();
  }
  memory.device_peak = peak_device_bytes(device_);
  memory.device_held = held_device_bytes(device_);
  memory.host_peak = host_memory().peak;
  memory.host_held = host_memory().live;
  memory.rows_at_once = static_cast<int32_t>(plan_.rows);
  memory.rows = static_cast<int32_t>(work_.rows);
  memory.frames_decoded = static_cast<int32_t>(plan_.decode_frames);
  memory.offload = plan_.offload;
  return memory;
}

}  // namespace animatediff
