// The operators on the CPU against LibTorch's own in float64.

#include "../engine/operators/operators.h"

#include <ATen/Parallel.h>
#include <ATen/TensorIndexing.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/div.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/im2col.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "operator_cases.h"

namespace {

using cases::Optional;

at::Tensor wide(const at::Tensor& x) { return x.to(at::kDouble); }

at::Tensor group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Optional& shift,
                      int64_t samples, int64_t groups, double epsilon, bool silu) {
  at::Tensor sum = wide(x);
  if (shift.has_value()) {
    sum = sum + wide(at::repeat_interleave(*shift, x.size(0) / shift->size(0), 0)).unsqueeze(1);
  }
  const at::Tensor rows = sum.view({samples, -1, x.size(2)}).transpose(1, 2);
  const at::Tensor y = at::group_norm(rows, groups, wide(weight), wide(bias), epsilon).transpose(1, 2);
  return (silu ? at::silu(y) : y).reshape(x.sizes());
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Optional& positions,
                      double epsilon) {
  const at::Tensor y = at::layer_norm(wide(x), {x.size(2)}, wide(weight), wide(bias), epsilon);
  if (!positions.has_value()) return y;
  return y + wide(*positions).repeat({x.size(0) / positions->size(0), 1}).unsqueeze(1);
}

at::Tensor gated_gelu(const at::Tensor& x, const Optional& bias) {
  const auto halves = (bias.has_value() ? wide(x) + wide(*bias) : wide(x)).chunk(2, 2);
  return halves[0] * at::gelu(halves[1]);
}

at::Tensor add_bias_residual(const at::Tensor& x, const Optional& bias, const at::Tensor& residual) {
  const at::Tensor sum = wide(x) + wide(residual);
  return bias.has_value() ? sum + wide(*bias) : sum;
}

at::Tensor gated_linear(const at::Tensor& x, const at::Tensor& weight, const Optional& bias) {
  const at::Tensor sum = wide(x).matmul(wide(weight).t());
  const auto halves = (bias.has_value() ? sum + wide(*bias) : sum).chunk(2, 2);
  return halves[0] * at::gelu(halves[1]);
}

at::Tensor head_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  // [n, tokens, heads, width]
  const at::Tensor scores = at::einsum("nqhw,nkhw->nhqk", {wide(q), wide(k)}) / std::sqrt(q.size(3));
  return at::einsum("nhqk,nkhw->nqhw", {scores.softmax(3), wide(v)});
}

at::Tensor temporal_attention(const at::Tensor& qkv, int64_t heads) {
  // [clips, frames, pixels, 3, heads, width] -> three of [clips, pixels, heads, frames, width]
  const at::Tensor parts = wide(qkv).unflatten(3, {3, heads, -1}).permute({3, 0, 2, 4, 1, 5});
  const at::Tensor weights = parts[0].matmul(parts[1].transpose(3, 4)) / std::sqrt(parts.size(5));
  return weights.softmax(4).matmul(parts[2]).permute({0, 3, 1, 2, 4}).flatten(3);
}

at::Tensor linear_residual(const at::Tensor& x, const at::Tensor& weight, const Optional& bias,
                           const at::Tensor& residual, const at::Tensor& out) {
  const at::Tensor sum = wide(x).matmul(wide(weight).t()) + wide(residual);
  return out.copy_(bias.has_value() ? sum + wide(*bias) : sum);
}

at::Tensor phase_weights(const at::Tensor& weight) {
  // Taps of the 3x3 kernel that a tap of a phase sums up: [phase, tap, 3].
  const at::Tensor taps = at::tensor({1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1}, at::kDouble).view({2, 2, 3});
  return at::einsum("arh,bsw,ohwi->aborsi", {taps, taps, wide(weight)}).flatten(0, 2);
}

at::Tensor corner_patches(const at::Tensor& x) {
  const at::Tensor patches = at::im2col(wide(x).permute({0, 3, 1, 2}), {2, 2}, {1, 1}, {1, 1}, {1, 1});
  return patches.view({x.size(0), x.size(3), 4, x.size(1) + 1, x.size(2) + 1}).permute({0, 3, 4, 2, 1}).flatten(3);
}

at::Tensor join_channels(const at::Tensor& left, const at::Tensor& right) {
  return at::cat({wide(left), wide(right)}, 2);
}

at::Tensor join_phases(const at::Tensor& x, const Optional& bias) {
  const int64_t height = 2 * (x.size(1) - 1);
  const int64_t width = 2 * (x.size(2) - 1);
  const at::Tensor phases = wide(x).unflatten(3, {4, -1});
  const at::Tensor row = at::arange(height).unsqueeze(1);
  const at::Tensor column = at::arange(width).unsqueeze(0);
  const auto half = [](const at::Tensor& place) { return at::div(place + 1, 2, "floor"); };
  const at::Tensor y = phases.index({at::indexing::Slice(), half(row), half(column), row % 2 * 2 + column % 2});
  return bias.has_value() ? y + wide(*bias) : y;
}

constexpr cases::Operators kDefinitions{group_norm,     layer_norm,        gated_gelu,         gated_linear,
                                        head_attention, add_bias_residual, temporal_attention, linear_residual,
                                        phase_weights,  corner_patches,    join_channels,      join_phases};

/** The pair of operators around a convolution is the convolution behind upsampling. */
void phases_are_an_upsampled_convolution() {
  const at::Tensor x = at::randn({2, 16, 5, 3}, at::kDouble);
  const at::Tensor weight = at::randn({8, 16, 3, 3}, at::kDouble);
  const at::Tensor bias = at::randn({8}, at::kDouble);
  const at::Tensor expected = at::conv2d(at::upsample_nearest2d(x, {10, 6}), weight, bias, 1, 1);
  const at::Tensor phases = phase_weights(weight.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
  const at::Tensor y = join_phases(at::conv2d(x, phases, {}, 1, 1).permute({0, 2, 3, 1}), bias).permute({0, 3, 1, 2});
  cases::expect_close("phases of an upsampled convolution", y, expected, 1e-12);
  const at::Tensor product =
      corner_patches(x.permute({0, 2, 3, 1})).matmul(phase_weights(weight.permute({0, 2, 3, 1})).flatten(1).t());
  cases::expect_close("phases as a product", join_phases(product, bias).permute({0, 3, 1, 2}), expected, 1e-12);
}

template <typename Call>
void expect_refusal(const char* words, const Call& call) {
  try {
    call();
    check::fail(__FILE__, __LINE__, std::string("expected a refusal: ") + words);
  } catch (const c10::Error& error) {
    if (std::string(error.what()).find(words) == std::string::npos) check::fail(__FILE__, __LINE__, error.what());
  }
}

void calls_that_make_no_sense_are_refused() {
  constexpr const cases::Operators& call = cases::kRegistered;
  const at::Tensor x = at::randn({4, 5, 16});
  const at::Tensor row = at::randn({16});
  const Optional none;
  expect_refusal("into 3 samples", [&] { call.group_norm(x, row, row, none, 3, 4, 1e-5, false); });
  expect_refusal("and 5 groups", [&] { call.group_norm(x, row, row, none, 4, 5, 1e-5, false); });
  expect_refusal("[16]", [&] { call.group_norm(x, at::randn({15}), row, none, 4, 4, 1e-5, false); });
  expect_refusal("row-major", [&] { call.layer_norm(x.transpose(0, 1), row, row, none, 1e-5); });
  expect_refusal("Half", [&] { call.layer_norm(x, row.to(at::kHalf), row, none, 1e-5); });
  expect_refusal("halve", [&] { call.gated_gelu(at::randn({1, 1, 3}), none); });
  expect_refusal("takes float32", [&] { call.gated_gelu(at::randn({1, 1, 4}, at::kDouble), none); });
  expect_refusal("[4, 5, 16]", [&] { call.add_bias_residual(x, none, row); });
  expect_refusal("at most 32 frames", [&] { call.temporal_attention(at::randn({1, 33, 1, 24}), 1); });
  expect_refusal("[4, 5, 8]", [&] { call.linear_residual(x, at::randn({8, 16}), none, x, x); });
  expect_refusal("[out, 3, 3, in]", [&] { call.phase_weights(at::randn({8, 2, 2, 8})); });
  expect_refusal("[4, 5, 8]", [&] { call.join_channels(x, at::randn({4, 6, 8})); });
  expect_refusal("4 * channels", [&] { call.join_phases(at::randn({1, 3, 3, 6}), none); });
  expect_refusal("into 5 heads", [&] { call.temporal_attention(at::randn({1, 3, 1, 24}), 5); });
}

}  // namespace

int main() {
  at::set_num_threads(1);
  for (const at::ScalarType type : cases::kTypes) {
    cases::Calls(type, 1, cases::kRegistered, kDefinitions, at::kCPU).all(20);
  }
  phases_are_an_upsampled_convolution();
  calls_that_make_no_sense_are_refused();
  return check::finish("operators");
}
