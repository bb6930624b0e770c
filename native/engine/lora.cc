#include "lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "error.h"

namespace animatediff {
namespace {

// Reads the tensors of one term.
class Factors {
 public:
  Factors(const ad_term& term, const ad_recipe& recipe, SourceFiles& files)
      : term_(term), recipe_(recipe), files_(files) {}

  [[nodiscard]] bool has(int32_t index) const { return index < term_.factor_count && term_.factors[index] != nullptr; }

  /** Float32 in the file's own shape. */
  [[nodiscard]] at::Tensor whole(int32_t index) const {
    if (!has(index))
      throw EngineError(AD_WEIGHTS_MISSING, std::string("A factor is missing for ") + recipe_.target + ".");
    return read_tensor(*term_.factors[index], recipe_, files_, at::kFloat);
  }

  /** [rows, everything else]: a 1x1 convolution becomes a matrix. */
  [[nodiscard]] at::Tensor matrix(int32_t index) const { return whole(index).flatten(1); }

 private:
  const ad_term& term_;
  const ad_recipe& recipe_;
  SourceFiles& files_;
};

// Tucker decomposition of a convolution: [p, r, k] = sum over i and j of left[p, i] core[i, j, k] right[j, r].
at::Tensor tucker(const at::Tensor& core, const at::Tensor& left, const at::Tensor& right) {
  const at::Tensor flat = core.flatten(2);
  const at::Tensor outer = at::mm(left, flat.flatten(1)).view({left.size(0), flat.size(1), flat.size(2)});
  return at::matmul(outer.transpose(1, 2), right).transpose(1, 2);
}

// LoRA (arXiv 2106.09685) and, with a middle, LyCORIS' LoCon in CP form.
at::Tensor low_rank(const Factors& factors) {
  const at::Tensor up = factors.matrix(0);
  const at::Tensor down = factors.matrix(1);
  return factors.has(2) ? tucker(factors.whole(2), up, down) : at::mm(up, down);
}

// One half of LoHa: a @ b, or with a core a and b are stored as [rank, out] and [rank, in].
at::Tensor half(const Factors& factors, int32_t a, int32_t b, int32_t core) {
  if (!factors.has(core)) return at::mm(factors.whole(a), factors.matrix(b));
  return tucker(factors.whole(core), factors.whole(a).t(), factors.whole(b));
}

// LoHa: FedPara, arXiv 2108.06098.
at::Tensor hadamard(const Factors& factors) { return half(factors, 0, 1, 4).mul_(half(factors, 2, 3, 5)); }

// LoKr, LyCORIS (arXiv 2309.14859): w1 [a, c] and w2 [b, d, k] give [a * b, c * d, k].
at::Tensor kronecker(const Factors& factors) {
  const at::Tensor w1 = factors.has(0) ? factors.whole(0) : at::mm(factors.whole(1), factors.whole(2));
  at::Tensor w2 = factors.has(3) ? factors.whole(3) : half(factors, 4, 5, 6);
  w2 = w2.reshape({w2.size(0), w2.dim() > 1 ? w2.size(1) : 1, -1});
  const at::Tensor product = w1.view({w1.size(0), 1, w1.size(1), 1, 1}) * w2.unsqueeze(1).unsqueeze(0);
  return product.reshape({w1.size(0) * w2.size(0), -1});
}

at::Tensor delta(const ad_term& term, const Factors& factors) {
  switch (term.kind) {
    case AD_LOW_RANK: return low_rank(factors);
    case AD_HADAMARD: return hadamard(factors);
    case AD_KRONECKER: return kronecker(factors);
    case AD_DIFFERENCE: return factors.whole(0);
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown kind of adapter " + std::to_string(term.kind) + ".");
}

double alpha_ratio(const ad_term& term, const ad_recipe& recipe, SourceFiles& files) {
  if (term.alpha == nullptr) return term.ratio;
  return read_tensor(*term.alpha, recipe, files, at::kDouble).item<double>() * term.ratio;
}

// Scalars of float32 operators must be float32 numbers.
double in_range(double factor, const ad_recipe& recipe) {
  if (std::abs(factor) <= std::numeric_limits<float>::max()) return factor;
  throw EngineError(AD_WEIGHTS_NOT_FINITE, std::string("The scale of a LoRA for ") + recipe.target +
                                               " is beyond float32. Give a smaller one.");
}

// DoRA (arXiv 2402.09353): direction and length apart. `value` is base + ratio * alpha * delta and is consumed.
at::Tensor decomposed(const ad_term& term, const ad_recipe& recipe, SourceFiles& files, at::Tensor value) {
  const int64_t axis = term.magnitude_axis;
  std::vector<int64_t> summed;
  std::vector<int64_t> shape(static_cast<size_t>(value.dim()), 1);
  for (int64_t i = 0; i < value.dim(); ++i) {
    if (i != axis) summed.push_back(i);
  }
  shape[static_cast<size_t>(axis)] = value.size(axis);
  at::Tensor length = at::linalg_vector_norm(value, 2, summed, true);
  length += std::numeric_limits<float>::epsilon();
  const at::Tensor magnitude = read_tensor(*term.magnitude, recipe, files, at::kFloat);
  return value.mul_(magnitude.reshape(shape).div_(length));
}

void add_term(const ad_term& term, const ad_recipe& recipe, SourceFiles& files, const at::Tensor& base,
              at::Tensor& value) {
  const at::Tensor difference = delta(term, Factors(term, recipe, files));
  if (difference.numel() != base.numel()) {
    throw EngineError(AD_WEIGHTS_SHAPE, std::string("The factors of a LoRA for ") + recipe.target + " multiply to " +
                                            std::to_string(difference.numel()) + " values, not " +
                                            std::to_string(base.numel()) + ".");
  }
  const double ratio = in_range(alpha_ratio(term, recipe, files), recipe);
  if (term.magnitude == nullptr) {
    value.add_(difference.reshape(base.sizes()), in_range(term.scale * ratio, recipe));
    return;
  }
  at::Tensor changed = base.add(difference.reshape(base.sizes()), ratio);
  value.add_(decomposed(term, recipe, files, std::move(changed)).sub_(base), in_range(term.scale, recipe));
}

bool is_product(const ad_term& term) {
  return term.kind == AD_LOW_RANK && term.magnitude == nullptr && term.factor_count >= 2 &&
         (term.factor_count == 2 || term.factors[2] == nullptr) && term.factors[0] != nullptr &&
         term.factors[1] != nullptr;
}

}  // namespace

std::optional<std::vector<LowRankTerm>> low_rank_terms(const ad_recipe& recipe, SourceFiles& files) {
  const int64_t elements = c10::multiply_integers(recipe.shape, recipe.shape + recipe.dims);
  if (recipe.dims == 0 || elements == 0) return std::nullopt;
  const int64_t rows = recipe.shape[0];
  const int64_t width = elements / rows;
  std::vector<LowRankTerm> found;
  for (const ad_term& term : std::span(recipe.terms, static_cast<size_t>(recipe.term_count))) {
    if (!is_product(term)) return std::nullopt;
    const Factors factors(term, recipe, files);
    LowRankTerm product{factors.matrix(0), factors.matrix(1), 0};
    const bool fits =
        product.up.size(0) == rows && product.down.size(1) == width && product.up.size(1) == product.down.size(0);
    if (!fits) return std::nullopt;
    product.factor = in_range(term.scale * in_range(alpha_ratio(term, recipe, files), recipe), recipe);
    found.push_back(std::move(product));
  }
  return found;
}

void add_terms(const ad_recipe& recipe, SourceFiles& files, at::Tensor& value) {
  const std::span terms(recipe.terms, static_cast<size_t>(recipe.term_count));
  bool decomposes = false;
  for (const ad_term& term : terms) decomposes |= term.magnitude != nullptr;
  const at::Tensor base = decomposes && terms.size() > 1 ? value.clone() : value;
  for (const ad_term& term : terms) add_term(term, recipe, files, base, value);
}

}  // namespace animatediff
