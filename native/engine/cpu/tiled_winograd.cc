#include "tiled_winograd.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

#include "../kernels/kernels.h"
#include "layers.h"
#include "parallel.h"

namespace animatediff::cpu {
namespace {

constexpr int64_t kTaps = 9;
// Bytes of transformed weights that are held at once.
constexpr int64_t kWeightBytes = int64_t{32} << 20;
// Patches that one thread transforms and multiplies at once, and panels that it multiplies them with one after the
// other: sums of both fill some half of a second-level cache of 2 MB. bench/NOTES.md has the measurements of all these.
constexpr int64_t kMostPatches = 96;
constexpr int64_t kPanels = 6;
// Narrower layers gain little, and fewer patches do not outweigh the transform of the weights.
constexpr int64_t kLeastChannels = 320;
constexpr int64_t kLeastPatches = 128;

int64_t up(int64_t count, int64_t step) { return (count + step - 1) / step; }

at::Tensor bytes(int64_t count) { return at::empty({count}, at::kByte); }

char* data(const at::Tensor& x) { return static_cast<char*>(x.mutable_data_ptr()); }

int64_t panel_bytes(const TiledConvolution& layer) { return kPatchPlaces * layer.inputs * kOutputsOfPanel * 2; }

void multiply(const TiledConvolution& layer, int64_t first_panel, int64_t panels, const char* weights) {
  const int64_t patches = patch_count(layer);
  // Every thread the same number of blocks, all about as large.
  const int64_t threads = at::get_num_threads();
  const int64_t blocks = up(up(patches, kMostPatches), threads) * threads;
  const int64_t each = up(up(patches, blocks), 2 * kRowsOfTile) * 2 * kRowsOfTile;
  parallel_for(0, up(patches, each), 1, [&](int64_t begin, int64_t end) {
    const at::Tensor transformed = bytes(kPatchPlaces * each * patch_stride(layer) * 2);
    const at::Tensor scratch = bytes(kernels().patch_scratch(each, std::min(kPanels, panels)));
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * each;
      const int64_t count = std::min(each, patches - first);
      kernels().patch_pixels(layer, first, count, data(transformed));
      for (int64_t panel = 0; panel < panels; panel += kPanels) {
        kernels().patch_outputs(layer, {data(transformed), first, count}, first_panel + panel,
                                std::min(kPanels, panels - panel), weights + panel * panel_bytes(layer), data(scratch));
      }
    }
  });
}

}  // namespace

bool patches_pay(const at::Tensor& x, const at::Tensor& weight) {
  return x.size(0) * up(x.size(2), 2) * up(x.size(3), 2) >= kLeastPatches &&
         std::min(x.size(1), weight.size(0) * kOutputsOfPanel) >= kLeastChannels;
}

at::Tensor tiled_winograd(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                          const at::Tensor& added) {
  const int64_t panels = weight.size(0);
  const int64_t steps = weight.size(1) / kTaps;
  at::Tensor y = at::empty({x.size(0), panels * kOutputsOfPanel, x.size(2), x.size(3)},
                           x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const at::Tensor other = added.defined() ? channels_last(added) : added;
  const at::Tensor offset = bias ? bias->to(at::kFloat).contiguous() : at::Tensor();
  std::vector<int64_t> places;
  for (int64_t step = 0; step < steps; ++step) places.push_back(step * kDepthOfStep);
  const TiledConvolution layer{x.const_data_ptr(),
                               weight.const_data_ptr(),
                               places.data(),
                               offset.defined() ? offset.const_data_ptr<float>() : nullptr,
                               other.defined() ? other.const_data_ptr() : nullptr,
                               y.mutable_data_ptr(),
                               x.size(0),
                               x.size(2),
                               x.size(3),
                               x.size(1),
                               panels * kOutputsOfPanel};
  const int64_t most = std::max<int64_t>(kWeightBytes / panel_bytes(layer), at::get_num_threads());
  const int64_t each = up(panels, up(panels, most));
  const at::Tensor transformed = bytes(each * panel_bytes(layer));
  for (int64_t first = 0; first < panels; first += each) {
    const int64_t count = std::min(each, panels - first);
    parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel) {
        kernels().patch_weights(layer, first + panel, data(transformed) + panel * panel_bytes(layer));
      }
    });
    multiply(layer, first, count, data(transformed));
  }
  return y;
}

}  // namespace animatediff::cpu
