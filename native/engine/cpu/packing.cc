#include "packing.h"

#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <c10/core/TensorImpl.h>

#include <string>
#include <vector>

#include "../kernels/kernels.h"
#include "../memory/shared_parameters.h"
#include "patches.h"
#include "tiled_winograd.h"
#include "tiles.h"
#include "winograd.h"

namespace animatediff::cpu {
namespace {

// Forms of the weight of a Conv2d with a 3x3 kernel, besides the graph's own.
enum class Form : uint8_t { kDirect, kWinograd, kPatches };

Form form_of(const at::Tensor& weight) {
  if (is_tiled(weight)) return Form::kPatches;
  return has_winograd_order(weight) ? Form::kWinograd : Form::kDirect;
}

at::Tensor pack_linear(const at::Tensor& weight) {
  using Function = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_linear_weight", "").typed<Function>();
  return call.call(weight, std::nullopt);
}

// oneDNN without AVX-512 wants the weights of a convolution in an order that depends on the size of the pictures, and
// brings others into order at every call, which takes longer than the convolution itself (bench/NOTES.md).
bool order_depends_on_pictures() {
  static const bool depends = at::get_cpu_capability() != "AVX512";
  return depends;
}

// On a packed weight: the size [n, in, h, w] of the pictures that it is packed for.
struct Pictures : c10::BackendMeta {
  explicit Pictures(at::IntArrayRef size) : size(size.vec()) {}
  std::vector<int64_t> size;
};

// Empty where any size will do, and before the first call.
at::IntArrayRef packed_size(const at::Tensor& weight) {
  const auto* pictures = dynamic_cast<const Pictures*>(weight.unsafeGetTensorImpl()->get_backend_meta());
  return pictures == nullptr ? at::IntArrayRef() : at::IntArrayRef(pictures->size);
}

// `pictures` as packed_size tells them.
at::Tensor pack_convolution(const at::Tensor& weight, int64_t padding, int64_t stride, at::IntArrayRef pictures) {
  using Function = at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                              at::OptionalIntArrayRef);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_convolution_weight", "").typed<Function>();
  if (pictures.empty()) return call.call(weight, {padding, padding}, {stride, stride}, {1, 1}, 1, std::nullopt);
  at::Tensor packed = call.call(weight, {padding, padding}, {stride, stride}, {1, 1}, 1, pictures);
  packed.unsafeGetTensorImpl()->set_backend_meta(c10::make_intrusive<Pictures>(pictures));
  return packed;
}

// Tells a form of a shared weight from all others.
std::string name_of(Form form, at::IntArrayRef pictures) {
  std::string name = std::to_string(static_cast<int>(form));
  for (const int64_t length : pictures) name += ' ' + std::to_string(length);
  return name;
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

// Of the graph's own weight of a Conv2d, for pictures x.
std::vector<int64_t> shape_of(const Part& layer, const at::Tensor& weight, const at::Tensor& x) {
  const std::vector<int64_t> kernel = layer.integers("kernel_size");
  return {is_tiled(weight) ? outputs_of(weight) : weight.size(0), x.size(1), kernel[0], kernel[1]};
}

Form fastest_form(at::IntArrayRef shape, const at::Tensor& x, int64_t stride, int64_t padding) {
  const at::ScalarType type = x.scalar_type();
  if (suits_patches(shape, type, stride, padding) && patches_pay(x, shape[0])) return Form::kPatches;
  if (suits_winograd(shape, type, stride, padding) && pays(x)) return Form::kWinograd;
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
  else if ((fits && weight.size(2) == 3 && padding == 1) ||
           suits_patches(weight.sizes(), weight.scalar_type(), stride, padding))
    layer.set("weight", tiled(patch_matrix(weight)));
  else if (suits_winograd(weight.sizes(), weight.scalar_type(), stride, padding))
    layer.set("weight", winograd_order(weight));
  else layer.set("weight", pack_convolution(weight, padding, stride, {}));
}

bool saves_products(const Part& layer, const at::Tensor& x) {
  const at::Tensor weight = layer.tensor("weight");
  const Form form = form_of(weight);
  if (form == Form::kPatches && kernel_set().multiplies_tiles) return patches_pay(x, outputs_of(weight));
  if (form == Form::kDirect && !weight.is_mkldnn()) return false;
  return fastest_form(shape_of(layer, weight, x), x, layer.integers("stride").front(),
                      layer.integers("padding").front()) != Form::kDirect;
}

at::Tensor packed_for(const Part& layer, const at::Tensor& x) {
  at::Tensor weight = layer.tensor("weight");
  const Form form = form_of(weight);
  // What is in tiles stays so where the processor multiplies them.
  if (form == Form::kPatches && kernel_set().multiplies_tiles) return weight;
  if (form == Form::kDirect && !weight.is_mkldnn()) return weight;
  const std::vector<int64_t> shape = shape_of(layer, weight, x);
  const int64_t padding = layer.integers("padding").front();
  const int64_t stride = layer.integers("stride").front();
  const Form wanted = fastest_form(shape, x, stride, padding);
  const bool by_size = wanted == Form::kDirect && order_depends_on_pictures();
  const at::IntArrayRef pictures = by_size ? x.sizes() : at::IntArrayRef();
  if (form == wanted && packed_size(weight) == pictures) return weight;
  const auto make = [&] {
    const at::Tensor dense = unpacked(weight, shape);
    switch (wanted) {
      case Form::kDirect: return pack_convolution(dense, padding, stride, pictures);
      case Form::kWinograd: return winograd_order(dense);
      case Form::kPatches: return tiled(patch_matrix(dense));
    }
    return dense;
  };
  // Pipelines that share the weight change its form one after the other.
  weight = SharedParameters::of_process().in_form(weight, name_of(wanted, pictures), make);
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
