// A TorchScript network behind a small interface: load, fill, call, so that another executor could take its place.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>
#include <vector>

#include "cuda/recordings.h"

namespace animatediff {

class Graph {
 public:
  Graph() = default;

  /** Loads an archive whose parameters lie on the meta device and hold no data. */
  static Graph load(const std::string& path);

  [[nodiscard]] bool loaded() const { return loaded_; }

  /**
   * Replaces a parameter or buffer; AD_WEIGHTS_MISSING when the graph has no such name. What other networks hold, they
   * keep as it is.
   */
  void set(const std::string& name, const at::Tensor& value);

  /** Takes a parameter from another network (memory/shared_parameters.h), packed; false if none has it. */
  bool adopt(const std::string& name, const std::string& key);
  /** Lets other networks adopt a parameter, which is packed and was made as `key` says. */
  void offer(const std::string& name, const std::string& key);

  /**
   * Lets the CPU run the network with packed weights and own kernels (cpu/replace.h); after `require_complete` and
   * before the first call. Parameters that `set` fills later are packed by `pack`.
   */
  void specialise_for_cpu();
  /** The same for CUDA, with this package's kernels (cuda/replace.h), which must be usable (cuda/library.h). */
  void specialise_for_cuda();
  void pack();

  /** Lets the network run on a device where its parameters do not lie (memory/offload.h); before the first call. */
  void fetch_parameters_on_use();

  /**
   * Moves all parameters to a device, which is the CPU before; after a failure in the middle it can be called again.
   * `place` is where they lie, and where `set` puts them.
   */
  void move(c10::Device place);
  [[nodiscard]] c10::Device place() const { return place_; }

  /** Throws AD_WEIGHTS_MISSING naming parameters that were never set. */
  void require_complete() const;

  /** Runs forward() on the device of the first input, without gradients and without the profiling executor. */
  at::Tensor operator()(std::vector<c10::IValue> inputs);

  /**
   * The same for a call that comes again with the same shapes: a network that is specialised for CUDA is recorded then
   * and started as a whole (cuda/recordings.h). The next call overwrites the result. Number `text` of the inputs is the
   * text; the same tensor means the same text and the same parameters.
   */
  at::Tensor repeat(const std::vector<c10::IValue>& inputs, size_t text);
  /** Whether `repeat` records at all, here and now. */
  [[nodiscard]] bool records() const { return recordings_ != nullptr && !place_.is_cpu(); }
  /** Gives up what was recorded, and its memory. */
  void forget_recordings();
  /** Why the last repeated call was not recorded; empty if it was or need not be. */
  [[nodiscard]] std::string recording_problem() const;

  /** Runs another method in the same way. */
  c10::IValue call(const std::string& method, std::vector<c10::IValue> inputs);

  /** Converts every floating-point parameter. */
  void to(c10::ScalarType dtype);

  [[nodiscard]] c10::ScalarType dtype() const;
  [[nodiscard]] uint64_t bytes() const;
  /** Length of a dimension of a parameter; 0 where there is no such parameter. */
  [[nodiscard]] int64_t length(const std::string& parameter, int64_t dimension) const;

  /** The network as its archive has it, with these parameters: what can be saved. */
  [[nodiscard]] torch::jit::Module plain() const;

 private:
  explicit Graph(const std::string& path);
  void replace(const std::string& name, const at::Tensor& value);

  enum class Form : uint8_t { kPlain, kCpu, kCuda };

  std::string path_;
  torch::jit::Module module_;
  bool loaded_ = false;
  c10::Device place_ = c10::DeviceType::CPU;
  Form form_ = Form::kPlain;
  bool settled_ = true;
  bool fetches_ = false;
  // Behind a pointer, so that networks can be moved.
  std::unique_ptr<cuda::Recordings> recordings_;
};

}  // namespace animatediff
