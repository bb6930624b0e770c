// The optional library with this package's CUDA kernels (native/cuda).
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace animatediff::cuda {

/**
 * Opens libanimatediff_cuda.so beside this library, once per process. Empty if the operators of operators/operators.h
 * run on `device` from now on, else why not; everything can run on LibTorch's own operators then.
 */
const std::string& kernels_problem(c10::Device device);

/** What step_graph.h is made of. `body` and what is thrown pass through. */
struct GraphFunctions {
  void* (*capture)(int device, void* neighbour, void (*body)(void* context), void* context);
  void (*replay)(void* graph);
  void (*free)(void* graph);
};

/** Only where `kernels_problem` is empty. */
const GraphFunctions& graph_functions();

}  // namespace animatediff::cuda
