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

}  // namespace animatediff::cuda
