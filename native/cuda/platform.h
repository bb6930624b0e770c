// What the kernels are written in: CUDA, or its emulation on the host, with which the tests run the same sources.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels.h"

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace animatediff::cuda {

/** The dynamic shared memory of this block. */
template <typename T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ uint4 memory[];
  return reinterpret_cast<T*>(memory);
}

template <typename... Parameters>
const char* start(void (*kernel)(Parameters...), unsigned blocks, int threads, int64_t shared_bytes, const Queue& queue,
                  const Parameters&... arguments) {
  // This library has a CUDA runtime of its own, whose current device LibTorch does not set.
  cudaError_t status = cudaSetDevice(queue.device);
  if (status == cudaSuccess) {
    kernel<<<blocks, threads, static_cast<size_t>(shared_bytes), static_cast<cudaStream_t>(queue.stream)>>>(
        arguments...);
    status = cudaGetLastError();
  }
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

/** 0 where the driver does not say. */
inline int multiprocessors(const Queue& queue) {
  int count = 0;
  return cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, queue.device) == cudaSuccess ? count : 0;
}

/** The first number of it, 7 and more; 0 where the driver does not say. */
inline int compute_capability(const Queue& queue) {
  int major = 0;
  const auto status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, queue.device);
  return status == cudaSuccess ? major : 0;
}

}  // namespace animatediff::cuda

#else
#include "emulated_cuda.h"
#endif

namespace animatediff::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kWholeWarp = 0xFFFFFFFFU;
/** Shared memory that every block may have without asking for more. */
inline constexpr int64_t kSharedBytes = 48 * 1024;

/** Queues `kernel` on a line of blocks: the x dimension alone holds more than 65535 of them. */
template <typename... Parameters>
const char* launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes, const Queue& queue,
                   const std::type_identity_t<Parameters>&... arguments) {
  if (blocks == 0) return nullptr;
  if (blocks > std::numeric_limits<int32_t>::max()) return "the tensor needs more blocks than a CUDA grid has";
  return start(kernel, static_cast<unsigned>(blocks), threads, shared_bytes, queue, arguments...);
}

/** Calls `body` with a value of the element type. */
template <typename Body>
const char* with_type(Type type, const Body& body) {
  switch (type) {
    case Type::kFloat32: return body(float{});
    case Type::kFloat16: return body(__half{});
    case Type::kBFloat16: return body(__nv_bfloat16{});
  }
  return "unknown element type";
}

constexpr int64_t ceiling(int64_t count, int64_t unit) { return (count + unit - 1) / unit; }

}  // namespace animatediff::cuda
