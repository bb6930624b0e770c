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
// other: sums of both fill some half of a second-level cache, of 2 MB where there are tiles, else of 1 MB.
// bench/NOTES.md has the measurements of all these.
constexpr int64_t kMostPatches = 96;

struct Limits {
  int64_t panels;
  // Narrower layers gain little, and fewer patches do not outweigh the transform of the weights.
  int64_t least_channels;
  int64_t least_patches;
};

const Limits& limits() {
  static const Limits of_processor = kernel_set().multiplies_tiles ? Limits{6, 320, 128} : Limits{4, 128, 64};
  return of_processor;
}

int64_t up(int64_t count, int64_t step) { return (count + step - 1) / step; }

at::Tensor bytes(int64_t count) { return at::empty({count}, at::kByte); }

char* data(const at::Tensor& x) { return static_cast<char*>(x.mutable_data_ptr()); }

int64_t panel_bytes(const TiledConvolution& layer) { return patch_places(layer) * layer.inputs * kOutputsOfPanel * 2; }

void multiply(const TiledConvolution& layer, int64_t first_panel, int64_t panels, const char* weights) {
  const int64_t patches = patch_count(layer);
  // Every thread the same number of blocks, all about as large.
  const int64_t threads = at::get_num_threads();
  const int64_t blocks = up(up(patches, kMostPatches), threads) * threads;
  const int64_t each = up(up(patches, blocks), 2 * kRowsOfTile) * 2 * kRowsOfTile;
  parallel_for(0, up(patches, each), 1, [&](int64_t begin, int64_t end) {
    const at::Tensor transformed = bytes(patch_places(layer) * each * patch_stride(layer) * 2);
    const at::Tensor scratch = bytes(kernels().patch_scratch(layer, each, std::min(limits().panels, panels)));
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * each;
      const int64_t count = std::min(each, patches - first);
      kernels().patch_pixels(layer, first, count, data(transformed));
      for (int64_t panel = 0; panel < panels; panel += limits().panels) {
        kernels().patch_outputs(layer, {data(transformed), first, count}, first_panel + panel,
                                std::min(limits().panels, panels - panel), weights + panel * panel_bytes(layer),
                                data(scratch));
      }
    }
  });
}

void convolve(const TiledConvolution& layer) {
  const int64_t panels = layer.outputs / kOutputsOfPanel;
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
}

}  // namespace

bool suits_patches(at::IntArrayRef shape, c10::ScalarType type, int64_t stride, int64_t padding) {
  return type == at::kBFloat16 && kernel_set().multiplies_bfloat16 && !kernel_set().multiplies_tiles && shape[2] == 3 &&
         shape[3] == 3 && stride == 1 && padding == 1 && shape[0] % kOutputsOfPanel == 0 &&
         shape[1] % kDepthOfStep == 0 && std::min(shape[0], shape[1]) >= limits().least_channels;
}

bool patches_pay(const at::Tensor& x, int64_t outputs) {
  return x.size(0) * up(x.size(2), 2) * up(x.size(3), 2) >= limits().least_patches &&
         std::min(x.size(1), outputs) >= limits().least_channels;
}

at::Tensor tiled_winograd(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                          const at::Tensor& added, bool doubled) {
  const int64_t panels = weight.size(0);
  const int64_t steps = weight.size(1) / kTaps;
  const int64_t times = doubled ? 2 : 1;
  at::Tensor y = at::empty({x.size(0), panels * kOutputsOfPanel, times * x.size(2), times * x.size(3)},
                           x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const at::Tensor other = added.defined() ? channels_last(added) : added;
  const at::Tensor offset = bias ? bias->to(at::kFloat).contiguous() : at::Tensor();
  std::vector<int64_t> places;
  for (int64_t step = 0; step < steps; ++step) places.push_back(step * kDepthOfStep);
  TiledConvolution layer{x.const_data_ptr(),
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
  if (!doubled) {
    convolve(layer);
    return y;
  }
  for (layer.part = 0; layer.part < 4; ++layer.part) convolve(layer);
  return y;
}

}  // namespace animatediff::cpu
