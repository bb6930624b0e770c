// CUDA graphs by LibTorch, whose allocator gives each of them memory of its own. The functions of libtorch_cuda and
// libc10_cuda that this names are not linked: the process has opened both before it opens this library.
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>

#include <map>
#include <memory>

#define EXPORTED __attribute__((visibility("default")))

namespace {

using at::cuda::CUDAGraph;

/**
 * The stream of this thread and device on which work is recorded, always the same one: LibTorch keeps cuBLAS's
 * workspace for each, and the first product here takes it from the memory of all instead of a graph's.
 */
c10::cuda::CUDAStream recording_stream(c10::DeviceIndex device) {
  thread_local std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const auto known = streams.find(device);
  if (known != streams.end()) return known->second;
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(false, device);
  const c10::cuda::CUDAStreamGuard guard(stream);
  const at::Tensor matrix = at::zeros({16, 16}, at::TensorOptions().dtype(at::kHalf).device(at::kCUDA, device));
  static_cast<void>(at::linear(matrix, matrix));
  static_cast<void>(at::linear(matrix, matrix, matrix.select(0, 0)));
  stream.synchronize();
  streams.emplace(device, stream);
  return stream;
}

}  // namespace

/**
 * Records what `body` queues, without running it; `neighbour` is null or a graph to share memory with. Throws what
 * LibTorch and `body` throw.
 */
extern "C" EXPORTED void* animatediff_cuda_capture(int device, void* neighbour, void (*body)(void* context),
                                                   void* context) {
  auto graph = std::make_unique<CUDAGraph>();
  const c10::cuda::CUDAStreamGuard stream(recording_stream(static_cast<c10::DeviceIndex>(device)));
  // Other threads may allocate and copy meanwhile.
  graph->capture_begin(neighbour == nullptr ? c10::MempoolId_t{0, 0} : static_cast<CUDAGraph*>(neighbour)->pool(),
                       cudaStreamCaptureModeThreadLocal);
  try {
    body(context);
  } catch (...) {
    try {
      graph->capture_end();
    } catch (const std::exception&) {
      // An invalid recording ends with an error too; the first one tells more.
    }
    throw;
  }
  graph->capture_end();
  return graph.release();
}

/** Queues the recorded work on the device's current stream. */
extern "C" EXPORTED void animatediff_cuda_replay(void* graph) { static_cast<CUDAGraph*>(graph)->replay(); }

extern "C" EXPORTED void animatediff_cuda_free_graph(void* graph) { delete static_cast<CUDAGraph*>(graph); }
