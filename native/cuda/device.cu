// Whether the kernels can run at all.
#include "platform.h"

namespace animatediff::cuda {
namespace {

__global__ void nothing() {}

}  // namespace

const char* select_device(const Queue& queue) {
  const cudaError_t status = cudaSetDevice(queue.device);
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

bool has_copy_engine(const Queue& queue) {
#ifdef ANIMATEDIFF_HOPPER
  return compute_capability(queue) == 9;
#else
  static_cast<void>(queue);
  return false;
#endif
}

const char* unusable(int device) {
  cudaError_t status = cudaSetDevice(device);
  // Fails when the library has no code for this processor.
  cudaFuncAttributes attributes{};
  if (status == cudaSuccess) status = cudaFuncGetAttributes(&attributes, nothing);
  static_cast<void>(cudaGetLastError());
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

}  // namespace animatediff::cuda
