#include "operators.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/DeviceGuard.h>

#include "../engine/operators/shapes.h"
#include "operands.h"

namespace animatediff::cuda {

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

at::Tensor phase_weights(const at::Tensor& weight) {
  operators::check_phase_weights(weight);
  const c10::DeviceGuard guard(weight.device());
  at::Tensor phases = at::empty({4 * weight.size(0), 2, 2, weight.size(3)}, weight.options());
  PhaseWeights call{};
  call.outputs = static_cast<int>(weight.size(0));
  call.inputs = whole_vectors(weight.size(3));
  call.weight = aligned(weight);
  call.phases = target(phases);
  check_queued(phase_weights(type_of(weight), call, queue_of(weight)));
  return phases;
}

at::Tensor corner_patches(const at::Tensor& x) {
  operators::check_corner_patches(x);
  const c10::DeviceGuard guard(x.device());
  Patches call{};
  call.images = x.size(0);
  call.height = x.size(1);
  call.width = x.size(2);
  call.channels = whole_vectors(x.size(3));
  at::Tensor y = at::empty({call.images, call.height + 1, call.width + 1, 4 * call.channels}, x.options());
  call.x = aligned(x);
  call.y = target(y);
  check_queued(corner_patches(type_of(x), call, queue_of(x)));
  return y;
}

at::Tensor join_channels(const at::Tensor& left, const at::Tensor& right) {
  operators::check_join_channels(left, right);
  const c10::DeviceGuard guard(left.device());
  JoinChannels call{};
  call.rows = left.size(0) * left.size(1);
  call.left_channels = whole_vectors(left.size(2));
  call.right_channels = whole_vectors(right.size(2));
  at::Tensor y = at::empty({left.size(0), left.size(1), left.size(2) + right.size(2)}, left.options());
  call.left = aligned(left);
  call.right = aligned(right);
  call.y = target(y);
  check_queued(join_channels(type_of(left), call, queue_of(left)));
  return y;
}

at::Tensor join_phases(const at::Tensor& x, const Optional& bias) {
  operators::check_join_phases(x, bias);
  const c10::DeviceGuard guard(x.device());
  JoinPhases call{};
  call.images = x.size(0);
  call.height = x.size(1) - 1;
  call.width = x.size(2) - 1;
  call.channels = whole_vectors(x.size(3) / 4);
  at::Tensor y = at::empty({call.images, 2 * call.height, 2 * call.width, call.channels}, x.options());
  call.x = aligned(x);
  call.bias = aligned(bias);
  call.y = target(y);
  check_queued(join_phases(type_of(x), call, queue_of(x)));
  return y;
}

}  // namespace animatediff::cuda
