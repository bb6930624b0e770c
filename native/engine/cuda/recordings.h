// Calls of a network that come again: queued kernel by kernel the first time, recorded the second, started as a whole
// from then on.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "step_graph.h"

namespace animatediff::cuda {

class Recordings {
 public:
  using Inputs = std::vector<c10::IValue>;
  using Network = std::function<at::Tensor(const Inputs&)>;

  /**
   * What `network` gives for these inputs, tensors of one CUDA device and numbers. The result is overwritten by the
   * next call. Between calls parameters may change their values, but not their places: then `clear` it.
   */
  at::Tensor call(const Inputs& inputs, const Network& network);

  /** Gives up the recordings and their memory. */
  void clear() { entries_.clear(); }

  /** Why calls like the last one are not recorded; empty if they are. */
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  struct Entry {
    std::string key;
    /** That the recorded work reads. */
    Inputs inputs;
    at::Tensor output;
    std::unique_ptr<StepGraph> graph;
    std::string problem;
  };

  Entry& find(const std::string& key);
  void record(Entry& entry, const Inputs& inputs, const Network& network);

  // The last used first. They share memory: each is done with its own before another one starts.
  std::list<Entry> entries_;
  std::string problem_;
};

}  // namespace animatediff::cuda
