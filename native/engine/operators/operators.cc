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
  library.def("add_bias_residual_(Tensor(a!) x, Tensor? bias, Tensor residual) -> Tensor(a!)");
  library.def("temporal_attention(Tensor qkv, int heads) -> Tensor");
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

at::Tensor add_bias_residual_(const at::Tensor& x, const Optional& bias, const at::Tensor& residual) {
  static const auto call = find("animatediff::add_bias_residual_", &add_bias_residual_);
  return call.call(x, bias, residual);
}

at::Tensor temporal_attention(const at::Tensor& qkv, int64_t heads) {
  static const auto call = find("animatediff::temporal_attention", &temporal_attention);
  return call.call(qkv, heads);
}

}  // namespace animatediff::operators
