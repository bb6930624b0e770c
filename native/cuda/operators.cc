#include "operators.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/DeviceGuard.h>

#include "../engine/operators/shapes.h"

namespace animatediff::cuda {
namespace {

Type type_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kHalf: return Type::kFloat16;
    case at::kBFloat16: return Type::kBFloat16;
    default: return Type::kFloat32;
  }
}

const void* aligned(const at::Tensor& x) {
  const void* const data = x.const_data_ptr();
  TORCH_CHECK_VALUE(
      reinterpret_cast<uintptr_t>(data) % 16 == 0,
      "The CUDA kernels of animatediff-native take tensors that start at multiples of 16 bytes, but got a "
      "view ",
      x.sizes(), " at element ", x.storage_offset(), " of its storage.");
  return data;
}

const void* aligned(const Optional& x) { return x.has_value() ? aligned(*x) : nullptr; }

void* target(const at::Tensor& x) {
  static_cast<void>(aligned(x));
  return x.mutable_data_ptr();
}

/** Channels, or elements of a head, as the kernels take them. */
int whole_vectors(int64_t count) {
  TORCH_CHECK_VALUE(count % 8 == 0 && count <= 1 << 20,
                    "The CUDA kernels of animatediff-native take channels and head widths that are multiples of 8, but "
                    "got ",
                    count, ".");
  return static_cast<int>(count);
}

void check_queued(const char* problem) {
  TORCH_CHECK(problem == nullptr, "A CUDA kernel of animatediff-native was not started: ", problem, ".");
}

}  // namespace

at::Tensor token_group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& shift, int64_t samples, int64_t groups, double epsilon, bool silu) {
  operators::check_group_norm(x, weight, bias, shift, samples, groups);
  const c10::DeviceGuard guard(x.device());
  const Queue queue = queue_of(x);
  at::Tensor y = at::empty_like(x);
  GroupNorm call{};
  call.samples = samples;
  call.rows = x.size(0) / samples * x.size(1);
  call.channels = whole_vectors(x.size(2));
  call.groups = static_cast<int>(groups);
  call.epsilon = static_cast<float>(epsilon);
  call.silu = silu;
  call.splits = group_norm_splits(type_of(x), samples, call.rows, call.channels, queue);
  call.x = aligned(x);
  call.y = target(y);
  call.weight = aligned(weight);
  call.bias = aligned(bias);
  call.shift = aligned(shift);
  call.shifts = shift.has_value() ? shift->size(0) : 1;
  const at::Tensor partials = at::empty({samples, call.splits, groups, 2}, x.options().dtype(at::kFloat));
  call.partials = partials.mutable_data_ptr<float>();
  check_queued(group_norm(type_of(x), call, queue));
  return y;
}

at::Tensor token_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& positions, double epsilon) {
  operators::check_layer_norm(x, weight, bias, positions);
  const c10::DeviceGuard guard(x.device());
  at::Tensor y = at::empty_like(x);
  LayerNorm call{};
  call.frames = x.size(0);
  call.tokens = x.size(1);
  call.channels = whole_vectors(x.size(2));
  call.epsilon = static_cast<float>(epsilon);
  call.x = aligned(x);
  call.y = target(y);
  call.weight = aligned(weight);
  call.bias = aligned(bias);
  call.position = aligned(positions);
  call.positions = positions.has_value() ? positions->size(0) : 1;
  check_queued(layer_norm(type_of(x), call, queue_of(x)));
  return y;
}

at::Tensor gated_gelu(const at::Tensor& x, const Optional& bias) {
  operators::check_gated_gelu(x, bias);
  const c10::DeviceGuard guard(x.device());
  const int channels = whole_vectors(x.size(2) / 2);
  at::Tensor y = at::empty({x.size(0), x.size(1), channels}, x.options());
  check_queued(
      gated_gelu(type_of(x), x.size(0) * x.size(1), channels, aligned(x), aligned(bias), target(y), queue_of(x)));
  return y;
}

at::Tensor add_bias_residual_(const at::Tensor& x, const Optional& bias, const at::Tensor& residual) {
  operators::check_add_bias_residual(x, bias, residual);
  const c10::DeviceGuard guard(x.device());
  check_queued(add_bias_residual(type_of(x), x.size(0) * x.size(1), whole_vectors(x.size(2)), target(x), aligned(bias),
                                 aligned(residual), queue_of(x)));
  return x;
}

at::Tensor temporal_attention(const at::Tensor& qkv, int64_t heads) {
  const int64_t width = operators::check_temporal_attention(qkv, heads);
  const c10::DeviceGuard guard(qkv.device());
  at::Tensor out = at::empty({qkv.size(0), qkv.size(1), qkv.size(2), heads * width}, qkv.options());
  TemporalAttention call{};
  call.clips = qkv.size(0);
  call.frames = static_cast<int>(qkv.size(1));
  call.pixels = qkv.size(2);
  call.heads = static_cast<int>(heads);
  call.width = whole_vectors(width);
  call.qkv = aligned(qkv);
  call.out = target(out);
  check_queued(temporal_attention(type_of(qkv), call, queue_of(qkv)));
  return out;
}

}  // namespace animatediff::cuda
