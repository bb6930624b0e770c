#include "packing.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include "winograd.h"

namespace animatediff::cpu {
namespace {

at::Tensor pack_linear(const at::Tensor& weight) {
  using Function = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_linear_weight", "").typed<Function>();
  return call.call(weight, std::nullopt);
}

at::Tensor pack_convolution(const at::Tensor& weight, int64_t padding, int64_t stride) {
  using Function = at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                              at::OptionalIntArrayRef);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_convolution_weight", "").typed<Function>();
  return call.call(weight, {padding, padding}, {stride, stride}, {1, 1}, 1, std::nullopt);
}

}  // namespace

void pack(const Part& layer) {
  const at::Tensor weight = layer.tensor("weight");
  if (weight.is_mkldnn() || has_winograd_order(weight)) return;
  if (weight.dim() == 2) {
    layer.set("weight", pack_linear(weight));
    return;
  }
  const int64_t padding = layer.integers("padding").front();
  const int64_t stride = layer.integers("stride").front();
  const bool pointwise = weight.size(2) == 1 && weight.size(3) == 1;
  if (pointwise) layer.set("weight", pack_linear(weight.flatten(1)));
  else if (suits_winograd(weight, stride, padding)) layer.set("weight", winograd_order(weight));
  else layer.set("weight", pack_convolution(weight, padding, stride));
}

at::Tensor packed_for(const Part& layer, const at::Tensor& x) {
  const at::Tensor weight = layer.tensor("weight");
  const bool ordered = has_winograd_order(weight);
  if (!ordered && !weight.is_mkldnn()) return weight;
  const int64_t padding = layer.integers("padding").front();
  const int64_t stride = layer.integers("stride").front();
  if (!suits_winograd(weight, stride, padding) || pays(x) == ordered) return weight;
  at::Tensor changed =
      ordered ? pack_convolution(weight.contiguous(), padding, stride) : winograd_order(weight.to_dense());
  layer.set("weight", changed);
  return changed;
}

at::Tensor unpacked(const at::Tensor& weight) { return weight.is_mkldnn() ? weight.to_dense() : weight.contiguous(); }

}  // namespace animatediff::cpu
