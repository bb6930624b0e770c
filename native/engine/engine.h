// One pipeline: its device, its networks and what is done with them.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "animatediff.h"
#include "graph.h"
#include "memory/plan.h"
#include "result.h"

namespace animatediff {

/** Progress, notices and cancellation of one call. */
class Callbacks {
 public:
  explicit Callbacks(const ad_callbacks* callbacks) : callbacks_(callbacks) {}

  void progress(ad_phase phase, uint64_t done, uint64_t total, const ad_tensor* preview = nullptr) const;

  void notice(const char* code, const char* message) const;

  /** Throws AD_ABORTED once the caller has cancelled. */
  void check_cancelled() const;

 private:
  const ad_callbacks* callbacks_;
};

class Engine {
 public:
  explicit Engine(const ad_engine_options& options);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  /** Applies thread settings to the calling thread; call it first on every entry. */
  void enter() const;

  void bind(ad_role role, const std::string& graph, std::span<const ad_recipe> recipes, const Callbacks& callbacks);
  /** Fills some parameters of a bound network anew. */
  void rebind(ad_role role, std::span<const ad_recipe> recipes, const Callbacks& callbacks);
  void bake(const std::string& path, const std::string& metadata) const;
  std::unique_ptr<ad_result> generate(const ad_request& request, const Callbacks& callbacks);
  std::unique_ptr<ad_result> forward(ad_role role, std::span<const ad_tensor> inputs,
                                     std::span<const int64_t> integers);
  [[nodiscard]] ad_memory memory() const;

 private:
  /** Names of parameters and their keys (memory/shared_parameters.h). */
  using Offers = std::vector<std::pair<std::string, std::string>>;

  Graph& graph(ad_role role);
  /** Whether a network runs with this package's layouts and operators. */
  [[nodiscard]] bool specialises(ad_role role) const { return specialise_ && role != AD_TEXT_ENCODER; }
  [[nodiscard]] std::string layout(ad_role role) const;
  /** Fills parameters, those that other pipelines have with theirs; returns what it read and can offer to them. */
  Offers fill(Graph& graph, std::span<const ad_recipe> recipes, const std::string& layout,
              const Callbacks& callbacks) const;

  c10::Device device_;
  c10::ScalarType dtype_;
  int32_t threads_;
  ad_memory_mode memory_mode_;
  /** Networks are specialised for the CPU. */
  bool specialise_;
  std::array<Graph, AD_ROLE_COUNT> graphs_;
  /** Of the networks that are bound: counting their parameters takes milliseconds. */
  std::optional<NetworkSizes> sizes_;
  /** Of the last clips. */
  MemoryPlan plan_{.rows = 0, .decode_frames = 0};
  Workload work_{.rows = 0};
};

/** `text_encoder`, `unet`, … */
const char* role_name(ad_role role);

}  // namespace animatediff
