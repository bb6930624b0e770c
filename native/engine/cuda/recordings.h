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

#include "library.h"
#include "step_graph.h"
#include "text_keys.h"

namespace animatediff::cuda {

class Recordings {
 public:
  using Inputs = std::vector<c10::IValue>;
  using Network = std::function<at::Tensor(const Inputs&)>;

  /** `functions` record and start work: those of the library, but for tests. */
  explicit Recordings(const GraphFunctions& (*functions)() = graph_functions) : functions_(functions) {}

  /**
   * What `network` gives for these inputs, tensors of one CUDA device and numbers. The result is overwritten by the
   * next call. Between calls parameters may change their values, but not their places: then `clear` it.
   *
   * Number `text` of the inputs is the text. The same tensor means the same text and the same parameters, whose keys
   * and values are not computed again (text_keys.h).
   */
  at::Tensor call(const Inputs& inputs, size_t text, const Network& network);

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
    /** Whose keys and values are kept; held, so that no other text gets its address. */
    at::Tensor text;
    TextKeys keys;
  };

  Entry& find(const std::string& key);
  void record(Entry& entry, const Inputs& inputs, const Network& network);

  const GraphFunctions& (*functions_)();
  // The last used first. They share memory: each is done with its own before another one starts.
  std::list<Entry> entries_;
  std::string problem_;
};

}  // namespace animatediff::cuda
