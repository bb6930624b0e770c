#include "weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>
#include <c10/util/accumulate.h>
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "dtype.h"
#include "elements.h"
#include "error.h"
#include "lora.h"

namespace animatediff {
namespace {

// Elements of a parameter that LoRAs are added to at once: a megabyte of float32.
constexpr int64_t kMergedAtOnce = int64_t{256} << 10;

// Largest difference between the sinusoid and its own copy in a file's element type, rounded up.
double position_tolerance(ad_dtype dtype) {
  switch (dtype) {
    case AD_BF16: return 2e-3 + 1e-4;
    case AD_F16: return 5e-4;
    default: return 1e-5;
  }
}

std::string shape_text(const int64_t* shape, int32_t dims) {
  std::string text = "[";
  for (int32_t i = 0; i < dims; ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

int64_t element_count(const int64_t* shape, int32_t dims) { return c10::multiply_integers(shape, shape + dims); }

// Elements between the first and the last one that a strided tensor touches.
int64_t span_count(const ad_source& source) {
  int64_t last = 0;
  for (int32_t i = 0; i < source.dims; ++i) {
    if (source.shape[i] == 0) return 0;
    last += (source.shape[i] - 1) * (source.strides != nullptr ? source.strides[i] : 0);
  }
  return source.strides != nullptr ? last + 1 : element_count(source.shape, source.dims);
}

uint64_t tensor_bytes(const ad_source* source) {
  if (source == nullptr) return 0;
  return static_cast<uint64_t>(span_count(*source)) * c10::elementSize(scalar_type(source->dtype));
}

at::Tensor read_strided(const ad_source& source, SourceFiles& files) {
  const auto type = scalar_type(source.dtype);
  at::Tensor storage = at::empty({span_count(source)}, at::TensorOptions().dtype(type));
  files.read(source.file, source.offset, storage.mutable_data_ptr(), storage.nbytes());
  const auto dims = static_cast<size_t>(source.dims);
  return storage.as_strided({source.shape, dims}, {source.strides, dims});
}

at::Tensor read_shaped(const ad_source& source, at::IntArrayRef shape, const ad_recipe& recipe, SourceFiles& files,
                       c10::ScalarType dtype, Destination& place) {
  if (source.strides == nullptr) {
    return place.make(shape, dtype, 1, [&](int64_t first, const at::Tensor& piece) {
      read_elements(source, first, files, recipe.target, piece);
    });
  }
  at::Tensor target = at::empty(shape, at::TensorOptions().dtype(dtype));
  if (target.numel() == 0) return place.put(target);
  target.copy_(read_strided(source, files).reshape(shape));
  if (!all_finite(target)) not_finite(source, recipe.target, "NaN or infinity");
  return place.put(target);
}

void require_same_count(const ad_recipe& recipe) {
  const ad_source& source = *recipe.source;
  const at::IntArrayRef shape(recipe.shape, static_cast<size_t>(recipe.dims));
  if (element_count(source.shape, source.dims) != c10::multiply_integers(shape)) {
    throw EngineError(AD_WEIGHTS_SHAPE, std::string(recipe.target) + " needs shape " +
                                            shape_text(recipe.shape, recipe.dims) + " but " + source.file + " has " +
                                            shape_text(source.shape, source.dims) + ".");
  }
}

at::Tensor read_source(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype, Destination& place) {
  require_same_count(recipe);
  const at::IntArrayRef shape(recipe.shape, static_cast<size_t>(recipe.dims));
  return read_shaped(*recipe.source, shape, recipe, files, dtype, place);
}

at::Tensor read_source_to_host(const ad_recipe& recipe, SourceFiles& files) {
  Destination host(at::kCPU);
  return read_source(recipe, files, at::kFloat, host);
}

void require_finite_sum(const at::Tensor& value, const ad_recipe& recipe) {
  if (all_finite(value)) return;
  throw EngineError(AD_WEIGHTS_NOT_FINITE, std::string("With the scales of LoRAs and motion module ") + recipe.target +
                                               " has values beyond the range of " + c10::toString(value.scalar_type()) +
                                               ". Give smaller ones.");
}

// Products of two matrices are added to some rows at a time, so that float32 copies stay in the processor's cache.
at::Tensor merged_by_rows(const ad_recipe& recipe, const std::vector<LowRankTerm>& terms, SourceFiles& files,
                          c10::ScalarType dtype, Destination& place) {
  const at::IntArrayRef shape(recipe.shape, static_cast<size_t>(recipe.dims));
  const int64_t width = c10::multiply_integers(shape.slice(1));
  const int64_t most = std::clamp(kMergedAtOnce / width, int64_t{1}, shape[0]);
  const at::Tensor scratch = at::empty({most, width}, at::TensorOptions().dtype(at::kFloat));
  return place.make(shape, dtype, width, [&](int64_t first, const at::Tensor& piece) {
    const at::Tensor matrix = piece.view({-1, width});
    for (int64_t row = 0; row < matrix.size(0); row += most) {
      const int64_t count = std::min(most, matrix.size(0) - row);
      const int64_t begin = first / width + row;
      at::Tensor sum = scratch.narrow(0, 0, count);
      read_elements(*recipe.source, begin * width, files, recipe.target, sum);
      for (const LowRankTerm& term : terms) sum.addmm_(term.up.narrow(0, begin, count), term.down, 1, term.factor);
      if (recipe.factor != 1.0) sum.mul_(recipe.factor);
      const at::Tensor part = matrix.narrow(0, row, count);
      part.copy_(sum);
      require_finite_sum(part, recipe);
    }
  });
}

// Base, terms and factor meet in float32, so that the result is rounded once.
at::Tensor merged(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype, Destination& place) {
  require_same_count(recipe);
  if (recipe.source->strides == nullptr) {
    const auto terms = low_rank_terms(recipe, files);
    if (terms.has_value()) return merged_by_rows(recipe, *terms, files, dtype, place);
  }
  at::Tensor value = read_source_to_host(recipe, files);
  if (recipe.term_count > 0) add_terms(recipe, files, value);
  if (recipe.factor != 1.0) value.mul_(recipe.factor);
  value = value.to(dtype);
  require_finite_sum(value, recipe);
  return place.put(value);
}

// The table of a recipe with the rows that are appended to it.
at::Tensor with_rows(const at::Tensor& table, const ad_recipe& recipe, SourceFiles& files) {
  std::vector<at::Tensor> parts{table};
  for (const ad_source* source : std::span(recipe.appended, static_cast<size_t>(recipe.appended_count))) {
    const at::Tensor rows = read_tensor(*source, recipe, files, table.scalar_type()).to(table.device());
    if (table.dim() != 2 || rows.dim() < 1 || rows.dim() > 2 || rows.size(-1) != table.size(1)) {
      throw EngineError(AD_WEIGHTS_SHAPE, std::string(recipe.target) + " takes rows of another width than " +
                                              source->file + " has: " + shape_text(source->shape, source->dims) + ".");
    }
    parts.push_back(rows.reshape({-1, table.size(1)}));
  }
  return at::cat(parts, 0);
}

at::Tensor position_encoding(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype) {
  if (recipe.dims != 3) throw EngineError(AD_WEIGHTS_SHAPE, std::string(recipe.target) + " needs three dimensions.");
  const at::Tensor exact = sinusoidal_positions(recipe.shape[1], recipe.shape[2]);
  if (recipe.source == nullptr) return exact.to(dtype);
  const at::Tensor stored = read_source_to_host(recipe, files);
  const bool same = (stored - exact).abs().max().item<double>() <= position_tolerance(recipe.source->dtype);
  return (same ? exact : stored).to(dtype);
}

}  // namespace

uint64_t source_bytes(const ad_recipe& recipe) {
  uint64_t bytes = tensor_bytes(recipe.source);
  for (const ad_term& term : std::span(recipe.terms, static_cast<size_t>(recipe.term_count))) {
    bytes += tensor_bytes(term.alpha) + tensor_bytes(term.magnitude);
    for (int32_t i = 0; i < term.factor_count; ++i) bytes += tensor_bytes(term.factors[i]);
  }
  for (int32_t i = 0; i < recipe.appended_count; ++i) bytes += tensor_bytes(recipe.appended[i]);
  return bytes;
}

at::Tensor read_tensor(const ad_source& source, const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype) {
  Destination host(at::kCPU);
  return read_shaped(source, {source.shape, static_cast<size_t>(source.dims)}, recipe, files, dtype, host);
}

at::Tensor sinusoidal_positions(int64_t length, int64_t channels) {
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const at::Tensor frequency =
      at::exp(at::arange(0, channels, 2, options) * (-std::log(10000.0) / static_cast<double>(channels)));
  const at::Tensor angle = at::arange(length, options).unsqueeze(1) * frequency;
  return at::stack({at::sin(angle), at::cos(angle)}, 2).reshape({1, length, channels});
}

at::Tensor read_parameter(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype, Destination& place) {
  at::Tensor value;
  switch (recipe.kind) {
    case AD_COPY:
      value = recipe.term_count > 0 || recipe.factor != 1.0 ? merged(recipe, files, dtype, place)
                                                            : read_source(recipe, files, dtype, place);
      break;
    case AD_POSITION_ENCODING: value = place.put(position_encoding(recipe, files, dtype)); break;
  }
  return recipe.appended_count > 0 ? with_rows(value, recipe, files) : value;
}

}  // namespace animatediff
