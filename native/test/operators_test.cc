// The operators on the CPU against LibTorch's own in float64.

#include "../engine/operators/operators.h"

#include <ATen/Parallel.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>

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

at::Tensor temporal_attention(const at::Tensor& qkv, int64_t heads) {
  // [clips, frames, pixels, 3, heads, width] -> three of [clips, pixels, heads, frames, width]
  const at::Tensor parts = wide(qkv).unflatten(3, {3, heads, -1}).permute({3, 0, 2, 4, 1, 5});
  const at::Tensor weights = parts[0].matmul(parts[1].transpose(3, 4)) / std::sqrt(parts.size(5));
  return weights.softmax(4).matmul(parts[2]).permute({0, 3, 1, 2, 4}).flatten(3);
}

constexpr cases::Operators kDefinitions{group_norm, layer_norm, gated_gelu, add_bias_residual, temporal_attention};

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
  expect_refusal("into 5 heads", [&] { call.temporal_attention(at::randn({1, 3, 1, 24}), 5); });
}

}  // namespace

int main() {
  at::set_num_threads(1);
  for (const at::ScalarType type : cases::kTypes) {
    cases::Calls(type, 1, cases::kRegistered, kDefinitions, at::kCPU).all(20);
  }
  calls_that_make_no_sense_are_refused();
  return check::finish("operators");
}
