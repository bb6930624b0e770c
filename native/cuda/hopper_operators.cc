// The operators that have kernels for compute capability 9.0 alone.
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <c10/core/DeviceGuard.h>

#include "../engine/operators/shapes.h"
#include "gated_linear.h"
#include "head_attention.h"
#include "operands.h"

namespace animatediff::cuda {
namespace {

bool has_16_bits(const at::Tensor& x) { return type_of(x) != Type::kFloat32; }

HeadsView view_of(const at::Tensor& x) {
  const int64_t bytes = static_cast<int64_t>(x.element_size());
  return {.data = aligned(x),
          .tokens = x.size(1),
          .batch_stride = x.stride(0) * bytes,
          .token_stride = x.stride(1) * bytes,
          .head_stride = x.stride(2) * bytes};
}

}  // namespace

at::Tensor gated_linear(const at::Tensor& x, const at::Tensor& weight, const Optional& bias) {
  operators::check_gated_linear(x, weight, bias);
  const c10::DeviceGuard guard(x.device());
  const Queue queue = queue_of(x);
  if (!has_16_bits(x) || !has_copy_engine(queue)) return gated_gelu(at::linear(x, weight), bias);
  GatedLinear call{};
  call.rows = x.size(0) * x.size(1);
  call.inputs = whole_vectors(x.size(2));
  call.hidden = whole_vectors(weight.size(0) / 2);
  at::Tensor y = at::empty({x.size(0), x.size(1), call.hidden}, x.options());
  call.x = aligned(x);
  call.weight = aligned(weight);
  call.bias = aligned(bias);
  call.y = target(y);
  check_queued(gated_linear(type_of(x), call, queue));
  return y;
}

at::Tensor head_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  operators::check_head_attention(q, k, v);
  const c10::DeviceGuard guard(q.device());
  const Queue queue = queue_of(q);
  TORCH_CHECK_NOT_IMPLEMENTED(has_16_bits(q) && has_copy_engine(queue),
                              "animatediff::head_attention has a kernel for 16 bits on compute capability 9.0 alone.");
  at::Tensor out = at::empty(q.sizes(), q.options().memory_format(at::MemoryFormat::Contiguous));
  HeadAttention call{};
  call.batch = q.size(0);
  call.heads = static_cast<int>(q.size(2));
  call.width = whole_vectors(q.size(3));
  call.q = view_of(q);
  call.k = view_of(k);
  call.v = view_of(v);
  call.out = target(out);
  check_queued(head_attention(type_of(q), call, queue));
  return out;
}

}  // namespace animatediff::cuda
