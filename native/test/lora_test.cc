// Terms of adapters: each kind against its definition in float64, sums, rounding, refusals.

#include "../engine/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/kron.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

#include "../engine/error.h"
#include "check.h"

using animatediff::read_parameter;
using animatediff::SourceFiles;

namespace {

const std::string& folder() {
  static const std::string path = [] {
    const auto made = std::filesystem::temp_directory_path() / ("animatediff-lora-" + std::to_string(::getpid()));
    std::filesystem::create_directories(made);
    return made.string();
  }();
  return path;
}

ad_dtype dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kHalf: return AD_F16;
    case at::kBFloat16: return AD_BF16;
    case at::kDouble: return AD_F64;
    case at::kLong: return AD_I64;
    default: return AD_F32;
  }
}

// Tensors in files, alive until the program ends.
const ad_source* store(const at::Tensor& tensor) {
  struct Stored {
    std::string file;
    at::Tensor tensor;
    ad_source source{};
  };
  static std::deque<Stored> all;
  Stored& stored = all.emplace_back();
  stored.file = folder() + "/" + std::to_string(all.size());
  stored.tensor = tensor.contiguous();
  std::ofstream out(stored.file, std::ios::binary);
  out.write(static_cast<const char*>(stored.tensor.const_data_ptr()),
            static_cast<std::streamsize>(stored.tensor.nbytes()));
  stored.source = {stored.file.c_str(),          0,       dtype_of(tensor),
                   stored.tensor.sizes().data(), nullptr, static_cast<int32_t>(tensor.dim())};
  return &stored.source;
}

// Values in [-1, 1] without a pattern, other ones for each seed.
at::Tensor values(std::vector<int64_t> shape, double seed) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return at::sin(at::arange(count, at::kDouble) * 12.9898 + seed * 78.233).to(at::kFloat).view(shape);
}

struct Term {
  ad_term_kind kind = AD_LOW_RANK;
  std::vector<at::Tensor> factors;
  double scale = 1;
  double ratio = 1;
  at::Tensor alpha = {};
  at::Tensor magnitude = {};
  int32_t axis = 0;
};

at::Tensor merge(const at::Tensor& base, const std::vector<Term>& terms, c10::ScalarType dtype = at::kFloat) {
  std::vector<std::vector<const ad_source*>> factors;
  for (const Term& term : terms) {
    auto& list = factors.emplace_back();
    for (const at::Tensor& factor : term.factors) list.push_back(factor.defined() ? store(factor) : nullptr);
  }
  std::vector<ad_term> raw;
  for (size_t i = 0; i < terms.size(); ++i) {
    const Term& term = terms[i];
    raw.push_back({term.kind, factors[i].data(), static_cast<int32_t>(factors[i].size()), term.scale, term.ratio,
                   term.alpha.defined() ? store(term.alpha) : nullptr,
                   term.magnitude.defined() ? store(term.magnitude) : nullptr, term.axis});
  }
  const ad_recipe recipe{AD_COPY,
                         "layer.weight",
                         base.sizes().data(),
                         static_cast<int32_t>(base.dim()),
                         store(base),
                         raw.data(),
                         static_cast<int32_t>(raw.size()),
                         1.0};
  SourceFiles files;
  animatediff::Destination host(at::kCPU);
  const at::Tensor value = read_parameter(recipe, files, dtype, host);
  // As on the way to a device, a few rows at a time.
  animatediff::Destination buffered(at::kCPU, 100);
  EXPECT(read_parameter(recipe, files, dtype, buffered).allclose(value, 1e-2, 1e-6));
  return value;
}

at::Tensor f64(const at::Tensor& tensor) { return tensor.to(at::kDouble); }

double error(const at::Tensor& actual, const at::Tensor& expected) {
  return (f64(actual) - expected).abs().max().item<double>();
}

constexpr double kTolerance = 1e-6;

const at::Tensor kLinear = values({6, 8}, 1);
const at::Tensor kConv = values({6, 8, 3, 3}, 2);

void low_rank_terms_are_scaled_by_alpha_over_rank() {
  const at::Tensor up = values({6, 2}, 3);
  const at::Tensor down = values({2, 8}, 4);
  const at::Tensor delta = f64(up).mm(f64(down));
  EXPECT_NEAR(error(merge(kLinear, {{AD_LOW_RANK, {up, down}, -0.7}}), f64(kLinear) - 0.7 * delta), 0, kTolerance);
  for (const at::Tensor& alpha : {at::tensor(3.0F), at::tensor(3.0F).to(at::kHalf), at::tensor(int64_t{3})}) {
    EXPECT_NEAR(error(merge(kLinear, {{AD_LOW_RANK, {up, down}, 0.5, 0.5, alpha}}), f64(kLinear) + 0.75 * delta), 0,
                kTolerance);
  }
  const at::Tensor half = merge(kLinear, {{AD_LOW_RANK, {up.to(at::kBFloat16), down.to(at::kBFloat16)}, 1}});
  const at::Tensor rounded = f64(up.to(at::kBFloat16)).mm(f64(down.to(at::kBFloat16)));
  EXPECT_NEAR(error(half, f64(kLinear) + rounded), 0, kTolerance);
}

// Terms of the usual kind are added to some rows at a time.
void large_parameters_are_whole() {
  const at::Tensor base = values({70, 9000}, 50), up = values({70, 3}, 51), down = values({3, 9000}, 52);
  const at::Tensor other_up = values({70, 2}, 53), other_down = values({2, 9000}, 54);
  const at::Tensor expected = f64(base) + 0.5 * f64(up).mm(f64(down)) - 0.25 * f64(other_up).mm(f64(other_down));
  const std::vector<Term> terms{{AD_LOW_RANK, {up, down}, 0.5}, {AD_LOW_RANK, {other_up, other_down}, -0.25}};
  EXPECT_NEAR(error(merge(base, terms), expected), 0, kTolerance);
  EXPECT(merge(base, terms, at::kHalf).equal(merge(base, terms).to(at::kHalf)));
  const at::Tensor stored = merge(base.to(at::kHalf), terms);
  EXPECT_NEAR(error(stored, f64(base.to(at::kHalf)) - f64(base) + expected), 0, kTolerance);
}

void convolutions_and_their_matrices_are_the_same() {
  const at::Tensor up = values({6, 2}, 5);
  const at::Tensor down = values({2, 72}, 6);
  const at::Tensor expected = f64(kConv) + f64(up).mm(f64(down)).view({6, 8, 3, 3});
  EXPECT_NEAR(error(merge(kConv, {{AD_LOW_RANK, {up.view({6, 2, 1, 1}), down.view({2, 8, 3, 3})}}}), expected), 0,
              kTolerance);
  const at::Tensor point = values({6, 8, 1, 1}, 7);
  const at::Tensor narrow = values({2, 8}, 8);
  const at::Tensor pointwise = f64(point) + f64(up).mm(f64(narrow)).view({6, 8, 1, 1});
  EXPECT_NEAR(error(merge(point, {{AD_LOW_RANK, {up, narrow}}}), pointwise), 0, kTolerance);
  EXPECT_NEAR(error(merge(point.view({6, 8}), {{AD_LOW_RANK, {up.view({6, 2, 1, 1}), narrow.view({2, 8, 1, 1})}}}),
                    pointwise.view({6, 8})),
              0, kTolerance);
}

void a_middle_convolution_is_multiplied_in() {
  const at::Tensor up = values({6, 2, 1, 1}, 9);
  const at::Tensor down = values({3, 8, 1, 1}, 10);
  const at::Tensor mid = values({2, 3, 3, 3}, 11);
  const at::Tensor delta = at::einsum("mnkl,im,nj->ijkl", {f64(mid), f64(up).flatten(1), f64(down).flatten(1)});
  EXPECT_NEAR(error(merge(kConv, {{AD_LOW_RANK, {up, down, mid}}}), f64(kConv) + delta), 0, kTolerance);
}

void loha_is_the_product_of_two() {
  const at::Tensor a1 = values({6, 2}, 12), b1 = values({2, 72}, 13);
  const at::Tensor a2 = values({6, 2}, 14), b2 = values({2, 72}, 15);
  const at::Tensor delta = (f64(a1).mm(f64(b1)) * f64(a2).mm(f64(b2))).view({6, 8, 3, 3});
  const at::Tensor none;
  EXPECT_NEAR(error(merge(kConv, {{AD_HADAMARD, {a1, b1, a2, b2, none, none}, 0.5, 0.5, at::tensor(1.0F)}}),
                    f64(kConv) + 0.25 * delta),
              0, kTolerance);
  const at::Tensor c1 = values({2, 6}, 16), d1 = values({2, 8}, 17), t1 = values({2, 2, 3, 3}, 18);
  const at::Tensor c2 = values({2, 6}, 19), d2 = values({2, 8}, 20), t2 = values({2, 2, 3, 3}, 21);
  const auto rebuilt = [](const at::Tensor& core, const at::Tensor& a, const at::Tensor& b) {
    return at::einsum("ijkl,jr,ip->prkl", {f64(core), f64(b), f64(a)});
  };
  const at::Tensor product = rebuilt(t1, c1, d1) * rebuilt(t2, c2, d2);
  EXPECT_NEAR(error(merge(kConv, {{AD_HADAMARD, {c1, d1, c2, d2, t1, t2}}}), f64(kConv) + product), 0, kTolerance);
}

void lokr_is_a_kronecker_product() {
  const at::Tensor none;
  const at::Tensor w1 = values({2, 4}, 22), w2 = values({3, 2}, 23);
  EXPECT_NEAR(error(merge(kLinear, {{AD_KRONECKER, {w1, none, none, w2, none, none, none}}}),
                    f64(kLinear) + at::kron(f64(w1), f64(w2))),
              0, kTolerance);
  const at::Tensor a1 = values({2, 1}, 24), b1 = values({1, 4}, 25), a2 = values({3, 1}, 26), b2 = values({1, 2}, 27);
  EXPECT_NEAR(error(merge(kLinear, {{AD_KRONECKER, {none, a1, b1, none, a2, b2, none}, 2, 1, at::tensor(0.5F)}}),
                    f64(kLinear) + at::kron(f64(a1).mm(f64(b1)), f64(a2).mm(f64(b2)))),
              0, kTolerance);
  const at::Tensor whole = values({3, 2, 3, 3}, 28);
  const auto expanded = [&](const at::Tensor& right) {
    return at::kron(f64(w1).view({2, 4, 1, 1}), right.contiguous());
  };
  EXPECT_NEAR(error(merge(kConv, {{AD_KRONECKER, {w1, none, none, whole, none, none, none}}}),
                    f64(kConv) + expanded(f64(whole))),
              0, kTolerance);
  const at::Tensor flat = values({2, 18}, 29), tall = values({3, 2}, 30);
  EXPECT_NEAR(error(merge(kConv, {{AD_KRONECKER, {w1, none, none, none, tall, flat, none}}}),
                    f64(kConv) + expanded(f64(tall).mm(f64(flat)).view({3, 2, 3, 3}))),
              0, kTolerance);
  const at::Tensor core = values({2, 2, 3, 3}, 31), left = values({2, 3}, 32), right = values({2, 2}, 33);
  EXPECT_NEAR(error(merge(kConv, {{AD_KRONECKER, {w1, none, none, none, left, right, core}}}),
                    f64(kConv) + expanded(at::einsum("ijkl,ip,jr->prkl", {f64(core), f64(left), f64(right)}))),
              0, kTolerance);
}

void dora_keeps_lengths_of_rows_or_columns() {
  const at::Tensor up = values({6, 2}, 34), down = values({2, 72}, 35);
  const at::Tensor moved = f64(kConv) + 0.5 * f64(up).mm(f64(down)).view({6, 8, 3, 3});
  const at::Tensor alpha = at::tensor(1.0F);
  const at::Tensor rows = values({6}, 36) + 2, columns = values({1, 8, 1, 1}, 37) + 2;
  const at::Tensor by_row = f64(rows).view({6, 1, 1, 1}) * moved / at::linalg_vector_norm(moved, 2, {1, 2, 3}, true);
  const at::Tensor by_column = f64(columns) * moved / at::linalg_vector_norm(moved, 2, {0, 2, 3}, true);
  EXPECT_NEAR(error(merge(kConv, {{AD_LOW_RANK, {up, down}, 1, 0.5, alpha, rows, 0}}), by_row), 0, kTolerance);
  EXPECT_NEAR(error(merge(kConv, {{AD_LOW_RANK, {up, down}, 1, 0.5, alpha, columns, 1}}), by_column), 0, kTolerance);
  // Other scales lie on the line through the base and the whole change, so that 0 is the base.
  EXPECT_NEAR(error(merge(kConv, {{AD_LOW_RANK, {up, down}, -0.5, 0.5, alpha, rows, 0}}),
                    f64(kConv) - 0.5 * (by_row - f64(kConv))),
              0, kTolerance);
  // A second adapter does not change what DoRA measures.
  const at::Tensor more = values({6, 8, 3, 3}, 38);
  const Term plain{AD_DIFFERENCE, {more}, 0.25};
  const Term lengths{AD_LOW_RANK, {up, down}, 1, 0.5, alpha, rows, 0};
  const at::Tensor both = by_row + 0.25 * f64(more);
  EXPECT_NEAR(error(merge(kConv, {plain, lengths}), both), 0, kTolerance);
  EXPECT_NEAR(error(merge(kConv, {lengths, plain}), both), 0, kTolerance);
}

void sums_are_rounded_once() {
  // 1 + 2^-9 + 2^-9 is a bfloat16 (1 + 2^-8 is the half-way point to it), but 1 + 2^-9 rounds to 1.
  const at::Tensor one = at::tensor({1.0F}).view({1, 1});
  const Term small{AD_DIFFERENCE, {at::tensor({0x1p-8F}).view({1, 1})}};
  EXPECT_NEAR(merge(one, {small, small}, at::kBFloat16).item<double>(), 1 + 0x1p-7, 0);
  EXPECT_NEAR(merge(one, {small}, at::kBFloat16).item<double>(), 1, 0);
}

void what_cannot_be_merged_is_refused() {
  const at::Tensor up = values({6, 2}, 39);
  const at::Tensor down = values({2, 8}, 40);
  EXPECT_STATUS(merge(kLinear, {{AD_LOW_RANK, {up, values({2, 9}, 41)}}}), AD_WEIGHTS_SHAPE);
  EXPECT_STATUS(merge(kLinear, {{AD_LOW_RANK, {up}}}), AD_WEIGHTS_MISSING);
  EXPECT_STATUS(merge(kLinear, {{AD_LOW_RANK, {up, down}, 1e39}}), AD_WEIGHTS_NOT_FINITE);
  EXPECT_STATUS(merge(kLinear, {{AD_LOW_RANK, {up * 100, down}, 3e38}}), AD_WEIGHTS_NOT_FINITE);
  EXPECT_STATUS(merge(kLinear, {{AD_LOW_RANK, {up, down}, 1e6}}, at::kHalf), AD_WEIGHTS_NOT_FINITE);
  EXPECT_STATUS(
      merge(kLinear, {{AD_LOW_RANK, {up, down}, 1, 0.5, at::tensor(std::numeric_limits<float>::quiet_NaN())}}),
      AD_WEIGHTS_NOT_FINITE);
  at::Tensor broken = down.clone();
  broken[1][3] = std::numeric_limits<float>::infinity();
  EXPECT_STATUS(merge(kLinear, {{AD_LOW_RANK, {up, broken}}}), AD_WEIGHTS_NOT_FINITE);
}

void bytes_of_terms_are_counted() {
  const at::Tensor factor = values({6, 2}, 42);
  const ad_source* const factors[] = {store(factor), nullptr};
  const ad_term term{AD_LOW_RANK, factors, 2, 1, 0.5, store(at::tensor(1.0F).to(at::kHalf)), store(values({6}, 43)), 0};
  const ad_recipe recipe{AD_COPY, "t", kLinear.sizes().data(), 2, store(kLinear), &term, 1, 1.0};
  EXPECT(animatediff::source_bytes(recipe) == 4 * (48 + 12 + 6) + 2);
}

}  // namespace

int main() {
  low_rank_terms_are_scaled_by_alpha_over_rank();
  large_parameters_are_whole();
  convolutions_and_their_matrices_are_the_same();
  a_middle_convolution_is_multiplied_in();
  loha_is_the_product_of_two();
  lokr_is_a_kronecker_product();
  dora_keeps_lengths_of_rows_or_columns();
  sums_are_rounded_once();
  what_cannot_be_merged_is_refused();
  bytes_of_terms_are_counted();
  std::filesystem::remove_all(folder());
  return check::finish("lora");
}
