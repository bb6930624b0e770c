// A TorchScript network behind a small interface: load, fill, call, so that another executor could take its place.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

namespace animatediff {

class Graph {
 public:
  Graph() = default;
  explicit Graph(torch::jit::Module module) : module_(std::move(module)), loaded_(true) {}

  /** Loads an archive whose parameters lie on the meta device and hold no data. */
  static Graph load(const std::string& path);

  [[nodiscard]] bool loaded() const { return loaded_; }

  /** Replaces a parameter or buffer; AD_WEIGHTS_MISSING when the graph has no such name. */
  void set(const std::string& name, const at::Tensor& value);

  /** Throws AD_WEIGHTS_MISSING naming parameters that were never set. */
  void require_complete() const;

  /** Runs forward() without recording gradients and without the profiling executor. */
  at::Tensor operator()(std::vector<c10::IValue> inputs);

  /** Converts every floating-point parameter. */
  void to(c10::ScalarType dtype);

  [[nodiscard]] c10::ScalarType dtype() const;
  [[nodiscard]] uint64_t bytes() const;
  [[nodiscard]] const torch::jit::Module& module() const { return module_; }

 private:
  torch::jit::Module module_;
  bool loaded_ = false;
};

}  // namespace animatediff
