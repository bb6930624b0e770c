// The operators over random shapes, one implementation compared with another.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>

#include <cstdint>
#include <limits>
#include <random>
#include <sstream>
#include <string>

#include "../engine/operators/operators.h"
#include "check.h"

namespace cases {

using animatediff::operators::Optional;

/** One set of implementations of the operators. */
struct Operators {
  decltype(&animatediff::operators::token_group_norm) group_norm;
  decltype(&animatediff::operators::token_layer_norm) layer_norm;
  decltype(&animatediff::operators::gated_gelu) gated_gelu;
  decltype(&animatediff::operators::gated_linear) gated_linear;
  decltype(&animatediff::operators::head_attention) head_attention;
  decltype(&animatediff::operators::add_bias_residual_) add_bias_residual;
  decltype(&animatediff::operators::temporal_attention) temporal_attention;
  decltype(&animatediff::operators::linear_residual) linear_residual;
  decltype(&animatediff::operators::phase_weights) phase_weights;
  decltype(&animatediff::operators::corner_patches) corner_patches;
  decltype(&animatediff::operators::join_channels) join_channels;
  decltype(&animatediff::operators::join_phases) join_phases;
};

/** What is registered with LibTorch, on whatever device the tensors are. */
inline constexpr Operators kRegistered{
    animatediff::operators::token_group_norm,   animatediff::operators::token_layer_norm,
    animatediff::operators::gated_gelu,         animatediff::operators::gated_linear,
    animatediff::operators::head_attention,     animatediff::operators::add_bias_residual_,
    animatediff::operators::temporal_attention, animatediff::operators::linear_residual,
    animatediff::operators::phase_weights,      animatediff::operators::corner_patches,
    animatediff::operators::join_channels,      animatediff::operators::join_phases};

/** Random sizes and values, the same in every run. */
class Source {
 public:
  Source(unsigned seed, at::ScalarType type) : generator_(seed), type_(type) {}

  int64_t integer(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator_); }
  bool coin() { return integer(0, 1) == 1; }
  int64_t among(std::initializer_list<int64_t> values) {
    return *(values.begin() + integer(0, static_cast<int64_t>(values.size()) - 1));
  }

  /** Normal values around `middle`, in the midst of NaN: what reads beside a tensor spoils the result. */
  at::Tensor tensor(at::IntArrayRef sizes, double middle = 0, double scale = 1) {
    constexpr int64_t kGuard = 256;
    const int64_t count = c10::multiply_integers(sizes);
    const at::Tensor storage = at::full({count + 2 * kGuard}, std::numeric_limits<float>::quiet_NaN(), type_);
    std::normal_distribution<float> normal(static_cast<float>(middle), static_cast<float>(scale));
    at::Tensor values = at::empty({count}, at::kFloat);
    for (int64_t i = 0; i < count; ++i) values.mutable_data_ptr<float>()[i] = normal(generator_);
    storage.narrow(0, kGuard, count).copy_(values);
    return storage.narrow(0, kGuard, count).view(sizes);
  }

  Optional maybe(at::IntArrayRef sizes) { return coin() ? Optional(tensor(sizes)) : std::nullopt; }

  [[nodiscard]] at::ScalarType type() const { return type_; }

 private:
  std::mt19937 generator_;
  at::ScalarType type_;
};

/** Half a unit in the last place of the type twice, once for each side, and float32's own error. */
inline double tolerance(at::ScalarType type) {
  return type == at::kFloat ? 2e-5 : type == at::kHalf ? 1.0 / 1024 : 1.0 / 128;
}

/** Compares `actual`, on any device, with `expected` and reports the case where they differ. */
inline void expect_close(const std::string& what, const at::Tensor& actual, const at::Tensor& expected,
                         double tolerated) {
  const at::Tensor left = actual.cpu().to(at::kDouble);
  const at::Tensor right = expected.to(at::kDouble);
  bool same = actual.sizes() == expected.sizes();
  double worst = 0;
  if (same) {
    worst = ((left - right).abs() / (1 + right.abs())).max().item<double>();
    same = worst <= tolerated;  // not so for NaN
  }
  if (same) return;
  std::ostringstream text;
  text << what << ": off by " << worst << " of 1 + |expected|, tolerated " << tolerated;
  check::fail(__FILE__, __LINE__, text.str());
}

template <typename... Parts>
std::string describe(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/** Calls `body` with each of the inputs of many random calls of each operator. */
class Calls {
 public:
  Calls(at::ScalarType type, unsigned seed, const Operators& actual, const Operators& expected, at::Device device)
      : source_(seed, type), actual_(actual), expected_(expected), device_(device) {}

  void group_norm() {
    const int64_t groups = source_.among({1, 4, 8, 32});
    // 32 groups of 10 channels cross the vectors; 2560 is the widest of Stable Diffusion 1.5.
    const int64_t channels = groups == 32 ? source_.among({128, 320, 640, 960, 1920, 2560}) : 8 * groups;
    const int64_t frames = source_.integer(1, 4);
    const int64_t clips = source_.integer(1, 2);
    const int64_t tokens = source_.among({1, 3, 64, 117, 300});
    const bool over_frames = source_.coin();
    const int64_t samples = over_frames ? clips : clips * frames;
    const bool silu = source_.coin();
    const at::Tensor x = source_.tensor({clips * frames, tokens, channels}, source_.among({0, 5}), 2);
    const at::Tensor weight = source_.tensor({channels});
    const at::Tensor bias = source_.tensor({channels});
    const Optional shift = source_.maybe({clips, channels});
    compare(describe("group_norm ", x.sizes(), " in ", samples, " samples and ", groups, " groups"),
            actual_.group_norm(put(x), put(weight), put(bias), put(shift), samples, groups, 1e-5, silu),
            expected_.group_norm(x, weight, bias, shift, samples, groups, 1e-5, silu), 4);
  }

  void layer_norm() {
    const int64_t channels = source_.among({8, 32, 64, 320, 640, 1280, 1608, 8 * source_.integer(1, 80)});
    const int64_t frames = source_.integer(1, 6);
    const at::Tensor x = source_.tensor({source_.integer(1, 2) * frames, source_.integer(1, 9), channels}, 3, 2);
    const at::Tensor weight = source_.tensor({channels});
    const at::Tensor bias = source_.tensor({channels});
    const Optional positions = source_.maybe({frames, channels});
    compare(describe("layer_norm ", x.sizes()),
            actual_.layer_norm(put(x), put(weight), put(bias), put(positions), 1e-5),
            expected_.layer_norm(x, weight, bias, positions, 1e-5), 4);
  }

  void gated_gelu() {
    const int64_t channels = 8 * source_.integer(1, 200);
    const at::Tensor x = source_.tensor({source_.integer(1, 3), source_.integer(1, 20), 2 * channels}, 0, 3);
    const Optional bias = source_.maybe({2 * channels});
    compare(describe("gated_gelu ", x.sizes()), actual_.gated_gelu(put(x), put(bias)), expected_.gated_gelu(x, bias));
  }

  void gated_linear() {
    const int64_t inputs = 8 * source_.integer(1, 40);
    const int64_t hidden = 8 * source_.integer(1, 40);
    const at::Tensor x = source_.tensor({source_.integer(1, 3), source_.integer(1, 90), inputs});
    const at::Tensor weight = source_.tensor({2 * hidden, inputs}, 0, 1.5 / std::sqrt(static_cast<double>(inputs)));
    const Optional bias = source_.maybe({2 * hidden});
    compare(describe("gated_linear ", x.sizes(), " by ", weight.sizes()),
            actual_.gated_linear(put(x), put(weight), put(bias)), expected_.gated_linear(x, weight, bias), 2);
  }

  void head_attention() {
    const int64_t heads = source_.among({1, 2, 8});
    const int64_t width = source_.among({40, 80});
    const int64_t keys = source_.integer(1, 300);
    const at::Tensor one = source_.tensor({source_.integer(1, 2), keys, 3 * heads * width}, 0, 1.5);
    const auto part = [&](const at::Tensor& x, int64_t i) {
      return x.chunk(3, 2)[static_cast<size_t>(i)].unflatten(2, {heads, width});
    };
    // Queries of their own, or beside keys and values.
    const bool own = source_.coin();
    const at::Tensor queries =
        own ? source_.tensor({one.size(0), source_.integer(1, 300), heads, width}, 0, 1.5) : part(one, 0);
    const at::Tensor beside = put(one);
    compare(describe("head_attention ", queries.sizes(), " over ", keys),
            actual_.head_attention(own ? put(queries) : part(beside, 0), part(beside, 1), part(beside, 2)),
            expected_.head_attention(queries, part(one, 1), part(one, 2)), 2);
  }

  void add_bias_residual() {
    const int64_t channels = 8 * source_.integer(1, 200);
    const at::Tensor x = source_.tensor({source_.integer(1, 3), source_.integer(1, 20), channels});
    const at::Tensor residual = source_.tensor(x.sizes(), 1, 3);
    const Optional bias = source_.maybe({channels});
    // A copy without guards: what is written beside it would be seen in the next one.
    const at::Tensor changed = put(x.clone());
    const at::Tensor returned = actual_.add_bias_residual(changed, put(bias), put(residual));
    EXPECT(returned.is_same(changed));
    compare(describe("add_bias_residual_ ", x.sizes()), changed, expected_.add_bias_residual(x, bias, residual));
  }

  void temporal_attention() {
    const int64_t heads = source_.among({1, 2, 4, 8});
    const int64_t width = source_.among({8, 16, 40, 80, 160});
    const at::Tensor qkv = source_.tensor(
        {source_.integer(1, 2), source_.integer(1, 32), source_.integer(1, 5), 3 * heads * width}, 0, 1.5);
    compare(describe("temporal_attention ", qkv.sizes(), " with ", heads, " heads"),
            actual_.temporal_attention(put(qkv), heads), expected_.temporal_attention(qkv, heads));
  }

  void linear_residual() {
    const int64_t inputs = 8 * source_.integer(1, 60);
    const int64_t outputs = 8 * source_.integer(1, 40);
    const at::Tensor x = source_.tensor({source_.integer(1, 3), source_.integer(1, 70), inputs});
    const at::Tensor weight = source_.tensor({outputs, inputs}, 0, 1 / std::sqrt(static_cast<double>(inputs)));
    const at::Tensor residual = source_.tensor({x.size(0), x.size(1), outputs}, 1, 2);
    const Optional bias = source_.maybe({outputs});
    const at::Tensor expected = expected_.linear_residual(x, weight, bias, residual, at::empty_like(residual));
    const at::Tensor given = put(residual.clone());
    const at::Tensor out = source_.coin() ? given : at::empty_like(given);
    EXPECT(actual_.linear_residual(put(x), put(weight), put(bias), given, out).is_same(out));
    compare(describe("linear_residual ", x.sizes(), " by ", weight.sizes()), out, expected, 2);
  }

  void phase_weights() {
    const at::Tensor weight = source_.tensor({source_.integer(1, 40), 3, 3, 8 * source_.integer(1, 12)});
    compare(describe("phase_weights ", weight.sizes()), actual_.phase_weights(put(weight)),
            expected_.phase_weights(weight));
  }

  void corner_patches() {
    const at::Tensor x = source_.tensor(
        {source_.integer(1, 3), source_.integer(1, 5), source_.integer(1, 5), 8 * source_.integer(1, 30)});
    compare(describe("corner_patches ", x.sizes()), actual_.corner_patches(put(x)), expected_.corner_patches(x));
  }

  void join_channels() {
    const at::Tensor left =
        source_.tensor({source_.integer(1, 3), source_.integer(1, 20), 8 * source_.integer(1, 160)});
    const at::Tensor right = source_.tensor({left.size(0), left.size(1), 8 * source_.integer(1, 160)});
    compare(describe("join_channels ", left.sizes(), " and ", right.sizes()),
            actual_.join_channels(put(left), put(right)), expected_.join_channels(left, right));
  }

  void join_phases() {
    const int64_t channels = 8 * source_.integer(1, 30);
    const at::Tensor x =
        source_.tensor({source_.integer(1, 3), source_.integer(2, 6), source_.integer(2, 6), 4 * channels});
    const Optional bias = source_.maybe({channels});
    compare(describe("join_phases ", x.sizes()), actual_.join_phases(put(x), put(bias)),
            expected_.join_phases(x, bias));
  }

  void all(int times) {
    for (int i = 0; i < times; ++i) {
      group_norm();
      layer_norm();
      gated_gelu();
      gated_linear();
      if (source_.type() != at::kFloat) head_attention();
      add_bias_residual();
      temporal_attention();
      if (actual_.linear_residual != nullptr) linear_residual();
      phase_weights();
      corner_patches();
      join_channels();
      join_phases();
    }
  }

  /** Results of `actual`, in the order of the calls. */
  [[nodiscard]] const std::vector<at::Tensor>& results() const { return results_; }

 private:
  // A tensor on the host keeps its guards.
  at::Tensor put(const at::Tensor& x) const { return device_.is_cpu() ? x : x.to(device_); }
  Optional put(const Optional& x) const { return x.has_value() ? Optional(put(*x)) : std::nullopt; }

  void compare(const std::string& what, const at::Tensor& actual, const at::Tensor& expected, double factor = 1) {
    results_.push_back(actual.cpu());
    expect_close(describe(what, " of ", source_.type()), actual, expected, factor * tolerance(source_.type()));
  }

  Source source_;
  const Operators& actual_;
  const Operators& expected_;
  at::Device device_;
  std::vector<at::Tensor> results_;
};

inline constexpr at::ScalarType kTypes[] = {at::kFloat, at::kHalf, at::kBFloat16};

}  // namespace cases
