#include "destination.h"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "transfer.h"

namespace animatediff {

at::Tensor Destination::make(at::IntArrayRef shape, c10::ScalarType dtype, int64_t unit, const Write& write) {
  at::Tensor target = at::empty(shape, at::TensorOptions().dtype(dtype).device(device_));
  if (target.numel() == 0) return target;
  const at::Tensor flat = target.view(-1);
  if (buffer_bytes_ == 0) {
    write(0, flat);
    return target;
  }
  const auto unit_bytes = static_cast<size_t>(unit) * target.element_size();
  const int64_t most = unit * static_cast<int64_t>(std::max<size_t>(1, buffer_bytes_ / unit_bytes));
  for (int64_t first = 0; first < flat.numel(); first += most) {
    const at::Tensor part = flat.narrow(0, first, std::min(most, flat.numel() - first));
    Buffer& buffer = next(part.nbytes());
    const at::Tensor piece = buffer.bytes.narrow(0, 0, static_cast<int64_t>(part.nbytes())).view(dtype);
    write(first, piece);
    send(buffer, piece, part);
  }
  return target;
}

at::Tensor Destination::put(const at::Tensor& host) {
  if (buffer_bytes_ == 0) return host;
  const at::Tensor flat = host.contiguous().view(-1);
  return make(host.sizes(), host.scalar_type(), 1,
              [&](int64_t first, const at::Tensor& piece) { piece.copy_(flat.narrow(0, first, piece.numel())); });
}

Destination::Buffer& Destination::next(size_t bytes) {
  Buffer& buffer = buffers_[turn_];
  turn_ = (turn_ + 1) % buffers_.size();
  if (buffer.copied.has_value()) buffer.copied->synchronize();
  if (!buffer.bytes.defined() || buffer.bytes.nbytes() < bytes) {
    const auto size = static_cast<int64_t>(std::max(bytes, buffer_bytes_));
    buffer.bytes.reset();
    buffer.bytes = transfer_memory({size}, at::kByte, device_);
  }
  return buffer;
}

void Destination::send(Buffer& buffer, const at::Tensor& piece, const at::Tensor& target) const {
  target.copy_(piece, true);
  if (device_.is_cpu()) return;
  if (!buffer.copied.has_value()) buffer.copied.emplace(device_.type(), c10::EventFlag::PYTORCH_DEFAULT);
  buffer.copied->record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
}

}  // namespace animatediff
