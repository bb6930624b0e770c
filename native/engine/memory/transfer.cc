#include "transfer.h"

#include <ATen/ops/empty.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

namespace animatediff {

at::Tensor transfer_memory(at::IntArrayRef shape, c10::ScalarType dtype, c10::Device device) {
  const auto options = at::TensorOptions().dtype(dtype);
  if (device.is_cpu()) return at::empty(shape, options);
  try {
    return at::empty(shape, options.pinned_memory(true));
  } catch (const c10::Error&) {
    // Copies from and to ordinary memory are slower, and as right.
    return at::empty(shape, options);
  }
}

Download::Download(const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) device_.push_back(tensor.contiguous());
  const c10::Device device = device_.front().device();
  if (device.is_cpu()) {
    host_.swap(device_);
    return;
  }
  for (const at::Tensor& tensor : device_) {
    host_.push_back(transfer_memory(tensor.sizes(), tensor.scalar_type(), device));
  }
  const c10::impl::VirtualGuardImpl backend(device.type());
  c10::Event made(device.type(), c10::EventFlag::PYTORCH_DEFAULT);
  made.record(backend.getStream(device));
  // Of high priority: another pipeline may be recording a CUDA graph on one of the others (cuda/graph.cc).
  const c10::Stream beside = backend.getStreamFromGlobalPool(device, true);
  made.block(beside);
  arrived_.emplace(device.type(), c10::EventFlag::PYTORCH_DEFAULT);
  const c10::StreamGuard guard(beside);
  for (size_t i = 0; i < device_.size(); ++i) host_[i].copy_(device_[i], true);
  arrived_->record(beside);
}

Download::~Download() {
  try {
    wait();
  } catch (const std::exception&) {
    // A fault of the device is reported by the call that meets it next.
  }
}

const std::vector<at::Tensor>& Download::wait() {
  if (arrived_.has_value()) arrived_->synchronize();
  arrived_.reset();
  device_.clear();
  return host_;
}

}  // namespace animatediff
