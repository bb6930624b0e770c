// Work of a CUDA device that is queued once and then started as a whole: a CUDA graph.
#pragma once

#include <c10/core/Device.h>

#include <functional>

#include "library.h"

namespace animatediff::cuda {

/**
 * What `body` queues on the device, which is not run while it is recorded. It must have run before, with the same
 * shapes, so that nothing is chosen, allocated or loaded for the first time. Tensors that it reads must stay where they
 * are; what it makes lies in memory of the graph's own, which a tensor that `body` hands out keeps alive and the next
 * replay overwrites.
 */
class StepGraph {
 public:
  /**
   * Throws what `body` throws, and c10::Error where the device cannot record it. With `neighbour`, another graph of the
   * device, memory is shared: neither may start while the other's results are in use.
   */
  StepGraph(const GraphFunctions& functions, c10::Device device, const StepGraph* neighbour,
            const std::function<void()>& body);
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;
  ~StepGraph();

  /** Queues the work on the current stream of the device. */
  void replay();

  /** Whether this thread is in a `body`. */
  static bool is_recording();

 private:
  const GraphFunctions& functions_;
  void* graph_;
};

}  // namespace animatediff::cuda
