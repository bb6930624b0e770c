// Where parameters are put: into host memory, or on a device by way of a few pinned buffers.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Event.h>

#include <array>
#include <cstddef>
#include <functional>
#include <optional>

namespace animatediff {

/**
 * Makes tensors on a device from values that are written on the host. A device copies from one buffer while the next
 * one is written, so that loading takes as long as the slower of both; no more than the buffers lie on the host. What
 * is queued on the device's current stream afterwards finds the values in place.
 */
class Destination {
 public:
  /** Writes elements [first, first + size) of a tensor to `piece` [size], contiguous on the host. */
  using Write = std::function<void(int64_t first, const at::Tensor& piece)>;

  /** As many bytes as reach a bus's full speed, and a fraction of a network. */
  static constexpr size_t kBufferBytes = size_t{16} << 20;

  explicit Destination(c10::Device device) : Destination(device, device.is_cpu() ? 0 : kBufferBytes) {}

  /** `buffer_bytes` is 0 where tensors are written to directly, which takes a `device` that is the host. */
  Destination(c10::Device device, size_t buffer_bytes) : device_(device), buffer_bytes_(buffer_bytes) {}

  [[nodiscard]] c10::Device device() const { return device_; }

  /** A new tensor of values by `write`, which is called for consecutive pieces of whole units of `unit` elements. */
  at::Tensor make(at::IntArrayRef shape, c10::ScalarType dtype, int64_t unit, const Write& write);

  /** A host tensor's values; on the host itself, that tensor. */
  at::Tensor put(const at::Tensor& host);

 private:
  struct Buffer {
    at::Tensor bytes;
    /** When the device has copied what was written last. */
    std::optional<c10::Event> copied;
  };

  Buffer& next(size_t bytes);
  void send(Buffer& buffer, const at::Tensor& piece, const at::Tensor& target) const;

  c10::Device device_;
  size_t buffer_bytes_;
  std::array<Buffer, 3> buffers_;
  size_t turn_ = 0;
};

}  // namespace animatediff
