#include "packing.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>

#include <vector>

#include "../memory/shared_parameters.h"
#include "patches.h"
#include "tiles.h"
#include "winograd.h"

namespace animatediff::cpu {
namespace {

// Forms of the weight of a Conv2d with a 3x3 kernel, besides the graph's own.
enum class Form : uint8_t { kDirect, kWinograd };

Form form_of(const at::Tensor& weight) { return has_winograd_order(weight) ? Form::kWinograd : Form::kDirect; }

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

// Asks the library itself: what it needs differs between its releases and between families of processors.
bool packs_bfloat16() {
  try {
    pack_linear(at::empty({16, 16}, at::kBFloat16));
    return true;
  } catch (const c10::Error&) {
    return false;
  }
}

// For pictures x and a weight of their type.
Form best_form(at::IntArrayRef shape, const at::Tensor& x, int64_t padding, int64_t stride) {
  if (suits_winograd(shape, x.scalar_type(), stride, padding) && pays(x)) return Form::kWinograd;
  return Form::kDirect;
}

}  // namespace

bool packs(at::ScalarType type) {
  if (type != at::kBFloat16) return type == at::kFloat;
  static const bool possible = packs_bfloat16();
  return possible;
}

void pack(const Part& layer, bool gated) {
  const at::Tensor weight = layer.tensor("weight");
  if (weight.is_mkldnn() || has_winograd_order(weight) || is_tiled(weight)) return;
  const bool fits = suits_tiles(weight.sizes(), weight.scalar_type());
  if (weight.dim() == 2) {
    layer.set("weight", fits ? tiled(weight, gated) : pack_linear(weight));
    return;
  }
  const int64_t padding = layer.integers("padding").front();
  const int64_t stride = layer.integers("stride").front();
  const bool pointwise = weight.size(2) == 1 && weight.size(3) == 1;
  if (pointwise) layer.set("weight", fits ? tiled(weight.flatten(1)) : pack_linear(weight.flatten(1)));
  else if (fits && weight.size(2) == 3 && padding == 1) layer.set("weight", tiled(patch_matrix(weight)));
  else if (suits_winograd(weight.sizes(), weight.scalar_type(), stride, padding))
    layer.set("weight", winograd_order(weight));
  else layer.set("weight", pack_convolution(weight, padding, stride));
}

at::Tensor packed_for(const Part& layer, const at::Tensor& x) {
  at::Tensor weight = layer.tensor("weight");
  if (is_tiled(weight)) return weight;
  const Form form = form_of(weight);
  if (form == Form::kDirect && !weight.is_mkldnn()) return weight;
  const std::vector<int64_t> kernel = layer.integers("kernel_size");
  const std::vector<int64_t> shape{weight.size(0), x.size(1), kernel[0], kernel[1]};
  const int64_t padding = layer.integers("padding").front();
  const int64_t stride = layer.integers("stride").front();
  const Form wanted = best_form(shape, x, padding, stride);
  if (form == wanted) return weight;
  const auto make = [&] {
    const at::Tensor dense = unpacked(weight, shape);
    switch (wanted) {
      case Form::kDirect: return pack_convolution(dense, padding, stride);
      case Form::kWinograd: return winograd_order(dense);
    }
    return dense;
  };
  // Pipelines that share the weight change its form one after the other.
  weight = SharedParameters::of_process().in_form(weight, std::to_string(static_cast<int>(wanted)), make);
  layer.set("weight", weight);
  return weight;
}

at::Tensor unpacked(const at::Tensor& weight, at::IntArrayRef shape) {
  const at::Tensor dense = is_tiled(weight) ? untiled(weight) : weight.is_mkldnn() ? weight.to_dense() : weight;
  if (dense.dim() == 2 && shape.size() == 4) {
    return dense.view({shape[0], shape[2], shape[3], shape[1]}).permute({0, 3, 1, 2}).contiguous();
  }
  return dense.contiguous();
}

}  // namespace animatediff::cpu
