// Copies between the host and a device that run beside the work of both. On the CPU there is nothing to copy.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Event.h>

#include <optional>
#include <vector>

namespace animatediff {

/**
 * An uninitialised host tensor that `device` copies to and from without the help of the host: in pinned memory, or in
 * ordinary memory where the device is the CPU or the system pins no more. LibTorch keeps pinned memory for the next
 * one.
 */
at::Tensor transfer_memory(at::IntArrayRef shape, c10::ScalarType dtype, c10::Device device);

/** Tensors of one device on their way to the host, while the device goes on with what is queued after them. */
class Download {
 public:
  /** Values are those after what has been queued on the device's current stream. */
  explicit Download(const std::vector<at::Tensor>& tensors);
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;
  /** Waits, since memory that is still being copied must not be used again. */
  ~Download();

  /** The tensors on the host, contiguous, once all have arrived. Throws what the device met on the way. */
  const std::vector<at::Tensor>& wait();

 private:
  std::vector<at::Tensor> device_;
  std::vector<at::Tensor> host_;
  /** Empty when nothing is on the way. */
  std::optional<c10::Event> arrived_;
};

}  // namespace animatediff
