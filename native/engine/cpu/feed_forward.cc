// The feed-forward layer that residual.h declares.
#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>

#include "../kernels/kernels.h"
#include "residual.h"
#include "tiles.h"

namespace animatediff::cpu {
namespace {

// Tokens of one thread at once; with tiles more of them for each reading of the weights. bench/NOTES.md has the
// measurements.
constexpr int64_t kTokens = 512;
constexpr int64_t kTokensOfTiles = 1024;

at::Tensor part_of(const Part& layers, const at::Tensor& x, const at::Tensor& added) {
  const Part gate = layers["net"]["0"]["proj"];
  const at::Tensor hidden = linear(x, gate);
  return linear(is_gated(gate.tensor("weight")) ? hidden : gated_gelu(hidden), layers["net"]["2"], added);
}

}  // namespace

at::Tensor feed_forward(const Part& layers, const at::Tensor& x, const at::Tensor& added) {
  const int64_t count = x.size(0) * x.size(1);
  const bool tiles = x.scalar_type() == at::kBFloat16 && kernel_set().multiplies_tiles;
  const int64_t most = (tiles ? kTokensOfTiles : kTokens) * at::get_num_threads();
  if (count <= most) return part_of(layers, x, added);
  const at::Tensor from = x.view({1, count, x.size(2)});
  const at::Tensor residual = added.reshape(from.sizes());
  at::Tensor y = at::empty_like(from);
  for (int64_t first = 0; first < count; first += most) {
    const int64_t tokens = std::min(most, count - first);
    y.narrow(1, first, tokens).copy_(part_of(layers, from.narrow(1, first, tokens), residual.narrow(1, first, tokens)));
  }
  return y.view(x.sizes());
}

}  // namespace animatediff::cpu
