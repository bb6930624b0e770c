#include "winograd.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "element.h"
#include "parallel.h"

namespace animatediff::cpu {
namespace {

// Narrower layers move more memory than they save multiplications.
constexpr int64_t kLeastChannels = 128;
// Fewer tiles do not outweigh the transform of the weights: bench/NOTES.md.
constexpr int64_t kLeastTilesFloat32 = 24;
constexpr int64_t kLeastTilesBFloat16 = 64;
// Floats of transformed weights that are held at once.
constexpr int64_t kWeightFloats = int64_t{16} << 20;
// The same for the tiles of one thread; and tiles at least and at most.
constexpr int64_t kTileFloats = int64_t{5} << 19;
constexpr int64_t kLeastBlock = 28;
constexpr int64_t kMostBlock = 112;
// Blocks are multiples of the rows that AVX-512's product of matrices computes together.
constexpr int64_t kRows = 14;
// Panels that are multiplied with the same tiles one after the other.
constexpr int64_t kPanels = 4;

int64_t up(int64_t count, int64_t step) { return (count + step - 1) / step; }

// Tiles that one thread transforms and multiplies at once.
int64_t block_of(const Convolution3x3& layer, int64_t tiles) {
  const int64_t fits = kTileFloats / (winograd_places(layer) * winograd_stride(layer));
  const int64_t most = std::clamp(fits / kRows * kRows, kLeastBlock, kMostBlock);
  // Every thread the same number of blocks, all about as large.
  const int64_t threads = at::get_num_threads();
  const int64_t blocks = up(up(tiles, most), threads) * threads;
  return up(tiles, blocks);
}

void transform_weights(const Convolution3x3& layer, int64_t first, int64_t outputs, float* transformed) {
  parallel_for(0, outputs / kWinogradOutputs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t at = panel * kWinogradOutputs;
      kernels().winograd_weights(layer, first + at, transformed + winograd_places(layer) * layer.inputs * at);
    }
  });
}

void multiply_tiles(const Convolution3x3& layer, int64_t first, int64_t outputs, const float* weights) {
  const int64_t places = winograd_places(layer);
  const int64_t tiles = winograd_tile_count(layer);
  const int64_t block = block_of(layer, tiles);
  parallel_for(0, up(tiles, block), 1, [&](int64_t begin, int64_t end) {
    const at::Tensor transformed = at::empty({places * block * winograd_stride(layer)}, at::kFloat);
    const at::Tensor products = at::empty({places * kPanels * block * kWinogradOutputs}, at::kFloat);
    auto* const pixels = transformed.mutable_data_ptr<float>();
    for (int64_t item = begin; item < end; ++item) {
      const int64_t tile = item * block;
      const int64_t count = std::min(block, tiles - tile);
      kernels().winograd_tiles(layer, tile, count, pixels);
      for (int64_t panel = 0; panel < outputs / kWinogradOutputs; panel += kPanels) {
        const int64_t at = panel * kWinogradOutputs;
        kernels().winograd_outputs(layer, tile, count, pixels, first + at,
                                   std::min(kPanels, outputs / kWinogradOutputs - panel),
                                   weights + places * layer.inputs * at, products.mutable_data_ptr<float>());
      }
    }
  });
}

void convolve(const Convolution3x3& layer) {
  const int64_t panel = winograd_places(layer) * layer.inputs * kWinogradOutputs;
  const int64_t panels = layer.outputs / kWinogradOutputs;
  // At least a panel for every thread; all parts about as large.
  const int64_t most = std::max<int64_t>(kWeightFloats / panel, at::get_num_threads());
  const int64_t each = up(panels, up(panels, most));
  const at::Tensor weights = at::empty({panel * std::min(each, panels)}, at::kFloat);
  for (int64_t first = 0; first < panels; first += each) {
    const int64_t outputs = std::min(each, panels - first) * kWinogradOutputs;
    transform_weights(layer, first * kWinogradOutputs, outputs, weights.mutable_data_ptr<float>());
    multiply_tiles(layer, first * kWinogradOutputs, outputs, weights.const_data_ptr<float>());
  }
}

// Where bfloat16 is multiplied so much faster than float32 that a quarter of the multiplications is no gain;
// tiled_winograd.h has what gains there.
bool tiles_are_faster(c10::ScalarType type) { return kernel_set().multiplies_tiles && type == at::kBFloat16; }

}  // namespace

bool suits_winograd(at::IntArrayRef shape, c10::ScalarType type, int64_t stride, int64_t padding) {
  return shape[2] == 3 && shape[3] == 3 && stride == 1 && padding == 1 && shape[1] % 16 == 0 &&
         shape[0] % kWinogradOutputs == 0 && !tiles_are_faster(type) && std::min(shape[0], shape[1]) >= kLeastChannels;
}

at::Tensor winograd_order(const at::Tensor& weight) {
  const int64_t outputs = weight.size(0);
  const int64_t inputs = weight.size(1);
  // A matrix of two dimensions is transposed block by block.
  const at::Tensor transposed = weight.contiguous().view({outputs, inputs * 9}).t().contiguous();
  return transposed.view({inputs, 3, 3, outputs}).permute({3, 0, 1, 2});
}

bool has_winograd_order(const at::Tensor& weight) {
  return !weight.is_mkldnn() && weight.dim() == 4 && weight.size(2) == 3 && weight.size(0) > 1 && weight.stride(0) == 1;
}

bool pays(const at::Tensor& x) {
  const int64_t least = x.scalar_type() == at::kBFloat16 ? kLeastTilesBFloat16 : kLeastTilesFloat32;
  return x.size(0) * up(x.size(2), 4) * up(x.size(3), 4) >= least;
}

at::Tensor winograd_convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                                const at::Tensor& added, bool doubled) {
  const at::Tensor offset = bias ? bias->to(at::kFloat).contiguous() : at::Tensor();
  const int64_t times = doubled ? 2 : 1;
  at::Tensor y = at::empty({x.size(0), weight.size(0), times * x.size(2), times * x.size(3)},
                           x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const at::Tensor other = added.defined() ? added.contiguous(at::MemoryFormat::ChannelsLast) : added;
  Convolution3x3 layer{
      element(x),
      x.const_data_ptr(),
      weight.const_data_ptr(),
      offset.defined() ? offset.const_data_ptr<float>() : nullptr,
      other.defined() ? other.const_data_ptr() : nullptr,
      y.mutable_data_ptr(),
      x.size(0),
      x.size(2),
      x.size(3),
      x.size(1),
      weight.size(0),
  };
  if (!doubled) {
    convolve(layer);
    return y;
  }
  for (layer.part = 0; layer.part < 4; ++layer.part) convolve(layer);
  return y;
}

}  // namespace animatediff::cpu
