#include "operators.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

namespace animatediff::operators {
namespace {

template <typename Function>
c10::TypedOperatorHandle<Function> find(const char* name, Function* /*signature*/) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Function>();
}

}  // namespace

TORCH_LIBRARY(animatediff, library) {
  library.def(
      "token_group_norm(Tensor x, Tensor weight, Tensor bias, Tensor? shift, int samples, int groups, float epsilon, "
      "bool silu) -> Tensor");
  library.def("token_layer_norm(Tensor x, Tensor weight, Tensor bias, Tensor? positions, float epsilon) -> Tensor");
  library.def("gated_gelu(Tensor x, Tensor? bias) -> Tensor");
  library.def("gated_linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor");
  library.def("add_bias_residual_(Tensor(a!) x, Tensor? bias, Tensor residual) -> Tensor(a!)");
  library.def("temporal_attention(Tensor qkv, int heads) -> Tensor");
  library.def("head_attention(Tensor q, Tensor k, Tensor v) -> Tensor");
  library.def("linear_residual(Tensor x, Tensor weight, Tensor? bias, Tensor residual, Tensor(a!) out) -> Tensor(a!)");
  library.def("phase_weights(Tensor weight) -> Tensor");
  library.def("corner_patches(Tensor x) -> Tensor");
  library.def("join_channels(Tensor left, Tensor right) -> Tensor");
  library.def("join_phases(Tensor x, Tensor? bias) -> Tensor");
}

at::Tensor token_group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& shift, int64_t samples, int64_t groups, double epsilon, bool silu) {
  static const auto call = find("animatediff::token_group_norm", &token_group_norm);
  return call.call(x, weight, bias, shift, samples, groups, epsilon, silu);
}

at::Tensor token_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& positions, double epsilon) {
  static const auto call = find("animatediff::token_layer_norm", &token_layer_norm);
  return call.call(x, weight, bias, positions, epsilon);
}

at::Tensor gated_gelu(const at::Tensor& x, const Optional& bias) {
  static const auto call = find("animatediff::gated_gelu", &gated_gelu);
  return call.call(x, bias);
}

at::Tensor gated_linear(const at::Tensor& x, const at::Tensor& weight, const Optional& bias) {
  static const auto call = find("animatediff::gated_linear", &gated_linear);
  return call.call(x, weight, bias);
}

at::Tensor add_bias_residual_(const at::Tensor& x, const Optional& bias, const at::Tensor& residual) {
  static const auto call = find("animatediff::add_bias_residual_", &add_bias_residual_);
  return call.call(x, bias, residual);
}

at::Tensor temporal_attention(const at::Tensor& qkv, int64_t heads) {
  static const auto call = find("animatediff::temporal_attention", &temporal_attention);
  return call.call(qkv, heads);
}

at::Tensor head_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  static const auto call = find("animatediff::head_attention", &head_attention);
  return call.call(q, k, v);
}

at::Tensor linear_residual(const at::Tensor& x, const at::Tensor& weight, const Optional& bias,
                           const at::Tensor& residual, const at::Tensor& out) {
  static const auto call = find("animatediff::linear_residual", &linear_residual);
  return call.call(x, weight, bias, residual, out);
}

at::Tensor phase_weights(const at::Tensor& weight) {
  static const auto call = find("animatediff::phase_weights", &phase_weights);
  return call.call(weight);
}

at::Tensor corner_patches(const at::Tensor& x) {
  static const auto call = find("animatediff::corner_patches", &corner_patches);
  return call.call(x);
}

at::Tensor join_channels(const at::Tensor& left, const at::Tensor& right) {
  static const auto call = find("animatediff::join_channels", &join_channels);
  return call.call(left, right);
}

at::Tensor join_phases(const at::Tensor& x, const Optional& bias) {
  static const auto call = find("animatediff::join_phases", &join_phases);
  return call.call(x, bias);
}

}  // namespace animatediff::operators
