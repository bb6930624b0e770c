// The operators that cuBLASLt runs.
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include "../engine/operators/shapes.h"
#include "operands.h"
#include "products.h"

namespace animatediff::cuda {
namespace {

/** Memory of LibTorch's allocator, which gives it to the next in the order of the stream. */
class TensorWorkspace final : public Workspace {
 public:
  explicit TensorWorkspace(c10::Device device) : device_(device) {}

  void* take(size_t bytes) override {
    memory_ = at::empty({static_cast<int64_t>(bytes)}, at::TensorOptions().dtype(at::kByte).device(device_));
    return memory_.mutable_data_ptr();
  }

 private:
  c10::Device device_;
  at::Tensor memory_;
};

}  // namespace

at::Tensor linear_residual(const at::Tensor& x, const at::Tensor& weight, const Optional& bias,
                           const at::Tensor& residual, const at::Tensor& out) {
  operators::check_linear_residual(x, weight, bias, residual, out);
  const c10::DeviceGuard guard(x.device());
  LinearResidual call{};
  call.rows = x.size(0) * x.size(1);
  call.inputs = whole_vectors(x.size(2));
  call.outputs = whole_vectors(weight.size(0));
  call.x = aligned(x);
  call.weight = aligned(weight);
  call.bias = aligned(bias);
  call.residual = aligned(residual);
  call.out = target(out);
  TensorWorkspace workspace(x.device());
  check_queued(linear_residual(type_of(x), call, queue_of(x), workspace));
  return out;
}

}  // namespace animatediff::cuda
