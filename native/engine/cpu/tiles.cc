#include "tiles.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "../kernels/kernels.h"
#include "layers.h"
#include "parallel.h"

namespace animatediff::cpu {
namespace {

constexpr int64_t kKernel = 3;
constexpr int64_t kTaps = kKernel * kKernel;
// Rows of x that one thread multiplies with the whole weight before the next ones: what the second-level cache holds
// beside the sums. bench/NOTES.md has the measurements.
constexpr int64_t kMostTiles = 16;
// The same for pixels of a convolution, whose rows come from a copy of at most so many bytes.
constexpr int64_t kMostPixels = 512;
constexpr int64_t kBandBytes = int64_t{768} << 10;

int64_t up(int64_t count, int64_t step) { return (count + step - 1) / step; }

struct Float32Bias {
  explicit Float32Bias(const std::optional<at::Tensor>& bias) {
    if (bias) values = bias->to(at::kFloat).contiguous();
  }
  [[nodiscard]] const float* data() const { return values.defined() ? values.const_data_ptr<float>() : nullptr; }
  at::Tensor values;
};

int64_t written_outputs(const at::Tensor& weight) {
  return is_gated(weight) ? outputs_of(weight) / 2 : outputs_of(weight);
}

at::Tensor scratch_for(const TiledProduct& product, int64_t tiles) {
  return at::empty({kernels().product_scratch(product, tiles)}, at::kByte);
}

// The places of a linear layer's inputs.
std::vector<int64_t> beside_each_other(int64_t steps) {
  std::vector<int64_t> places(static_cast<size_t>(steps));
  for (int64_t step = 0; step < steps; ++step) places[static_cast<size_t>(step)] = step * kDepthOfStep;
  return places;
}

// Rows [rows, inputs] in tiles. The last tile may be a copy, so that all its rows can be read.
class Rows {
 public:
  Rows(const at::Tensor& x, int64_t inputs) : data_(static_cast<const char*>(x.const_data_ptr())), inputs_(inputs) {
    rows_ = x.numel() / inputs;
    const int64_t rest = rows_ % kRowsOfTile;
    if (rest == 0) return;
    rest_ = at::zeros({kRowsOfTile, inputs}, x.options());
    std::memcpy(rest_.mutable_data_ptr(), at(rows_ - rest), static_cast<size_t>(rest * inputs * bytes()));
  }

  [[nodiscard]] int64_t tiles() const { return up(rows_, kRowsOfTile); }

  [[nodiscard]] RowTile tile(int64_t index) const {
    const int64_t row = index * kRowsOfTile;
    const int64_t count = std::min(kRowsOfTile, rows_ - row);
    return {count == kRowsOfTile ? at(row) : rest_.const_data_ptr(), row, count};
  }

 private:
  static constexpr int64_t bytes() { return 2; }
  [[nodiscard]] const char* at(int64_t row) const { return data_ + row * inputs_ * bytes(); }

  const char* data_;
  int64_t inputs_;
  int64_t rows_;
  at::Tensor rest_;
};

// Pictures [images, height, width, channels] under a kernel with padding 1, in bands of output rows.
struct Pictures {
  const char* data;
  int64_t images, height, width, channels, stride;

  [[nodiscard]] int64_t rows() const { return (height - 1) / stride + 1; }
  [[nodiscard]] int64_t columns() const { return (width - 1) / stride + 1; }
  [[nodiscard]] int64_t pixel() const { return channels * 2; }
  /** Bytes of a row with its margins. */
  [[nodiscard]] int64_t line() const { return (width + 2) * pixel(); }
  /** Rows that outputs of so many rows are made from. */
  [[nodiscard]] int64_t lines(int64_t rows) const { return (rows - 1) * stride + kKernel; }

  /** Output rows of a band. */
  [[nodiscard]] int64_t band() const {
    const int64_t fits = (kBandBytes / line() - kKernel) / stride + 1;
    const int64_t most = std::clamp<int64_t>(std::min(fits, kMostPixels / columns()), 1, rows());
    return up(rows(), up(rows(), most));
  }

  /** Copies what lies under the kernel for `count` output rows from `row` on. */
  void copy(int64_t image, int64_t row, int64_t count, char* to) const {
    for (int64_t i = 0; i < lines(count); ++i, to += line()) {
      const int64_t y = row * stride - 1 + i;
      if (y < 0 || y >= height) {
        std::memset(to, 0, static_cast<size_t>(line()));
        continue;
      }
      std::memset(to, 0, static_cast<size_t>(pixel()));
      std::memcpy(to + pixel(), data + (image * height + y) * width * pixel(), static_cast<size_t>(width * pixel()));
      std::memset(to + (width + 1) * pixel(), 0, static_cast<size_t>(pixel()));
    }
  }

  /** Where each step of the nine pixels under the kernel lies in such a copy, in elements. */
  [[nodiscard]] std::vector<int64_t> places() const {
    std::vector<int64_t> result;
    for (int64_t tap = 0; tap < kTaps; ++tap) {
      const int64_t place = (tap / kKernel * (width + 2) + tap % kKernel) * channels;
      for (int64_t c = 0; c < channels; c += kDepthOfStep) result.push_back(place + c);
    }
    return result;
  }
};

}  // namespace

bool suits_tiles(at::IntArrayRef shape, c10::ScalarType type) {
  return kernel_set().multiplies_tiles && type == at::kBFloat16 && shape[0] % kOutputsOfPanel == 0 &&
         shape[1] % kDepthOfStep == 0;
}

at::Tensor tiled(const at::Tensor& weight, bool gated) {
  const int64_t panels = weight.size(0) / kOutputsOfPanel;
  const int64_t steps = weight.size(1) / kDepthOfStep;
  // Pairs of inputs move together.
  const at::Tensor pairs = weight.contiguous().view(at::kInt);
  if (gated) {
    return pairs.view({2, panels, kRowsOfTile, steps, 16})
        .permute({1, 3, 0, 4, 2})
        .contiguous()
        .view(at::kBFloat16)
        .view({panels, steps, 1, 2, 16, 32});
  }
  return pairs.view({panels, 2, kRowsOfTile, steps, 16})
      .permute({0, 3, 1, 4, 2})
      .contiguous()
      .view(at::kBFloat16)
      .view({panels, steps, 2, 16, 32});
}

bool is_tiled(const at::Tensor& weight) { return weight.dim() > 4; }

bool is_gated(const at::Tensor& weight) { return weight.dim() == 6; }

int64_t outputs_of(const at::Tensor& weight) { return weight.size(0) * kOutputsOfPanel; }

at::Tensor untiled(const at::Tensor& weight) {
  const int64_t panels = weight.size(0);
  const int64_t steps = weight.size(1);
  const at::Tensor pairs = weight.view(at::kInt).view({panels, steps, 2, 16, kRowsOfTile});
  const at::Tensor rows = is_gated(weight) ? pairs.permute({2, 0, 4, 1, 3}) : pairs.permute({0, 2, 4, 1, 3});
  return rows.contiguous().view(at::kBFloat16).view({panels * kOutputsOfPanel, steps * kDepthOfStep});
}

at::Tensor tiled_product(const at::Tensor& given, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                         const at::Tensor& added) {
  const at::Tensor x = given.contiguous();
  const at::Tensor other = added.defined() ? added.contiguous() : added;
  const int64_t inputs = weight.size(1) * kDepthOfStep;
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = written_outputs(weight);
  at::Tensor y = at::empty(shape, x.options());
  if (x.numel() == 0) return y;
  const Float32Bias offset(bias);
  const std::vector<int64_t> places = beside_each_other(weight.size(1));
  const TiledProduct product{weight.const_data_ptr(),
                             outputs_of(weight),
                             weight.size(1),
                             places.data(),
                             inputs,
                             offset.data(),
                             other.defined() ? other.const_data_ptr() : nullptr,
                             y.mutable_data_ptr(),
                             is_gated(weight)};
  const Rows rows(x, inputs);
  // Every thread the same number of blocks, all about as large.
  const int64_t threads = at::get_num_threads();
  const int64_t blocks = up(up(rows.tiles(), kMostTiles), threads) * threads;
  const int64_t each = up(up(rows.tiles(), blocks), 2) * 2;
  parallel_for(0, up(rows.tiles(), each), 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = scratch_for(product, each);
    std::vector<RowTile> tiles;
    for (int64_t block = begin; block < end; ++block) {
      tiles.clear();
      for (int64_t tile = block * each; tile < std::min((block + 1) * each, rows.tiles()); ++tile) {
        tiles.push_back(rows.tile(tile));
      }
      kernels().multiply_rows(product, tiles.data(), static_cast<int64_t>(tiles.size()), scratch.mutable_data_ptr());
    }
  });
  return y;
}

bool has_rows_of_tiles(const at::Tensor& x, int64_t stride) {
  return ((x.size(3) - 1) / stride + 1) % kRowsOfTile == 0;
}

at::Tensor tiled_convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                             int64_t stride, const at::Tensor& added) {
  const Pictures pictures{
      static_cast<const char*>(x.const_data_ptr()), x.size(0), x.size(2), x.size(3), x.size(1), stride};
  const int64_t height = pictures.rows();
  const int64_t width = pictures.columns();
  at::Tensor y = at::empty({x.size(0), outputs_of(weight), height, width},
                           x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const at::Tensor other = added.defined() ? channels_last(added) : added;
  const Float32Bias offset(bias);
  const std::vector<int64_t> places = pictures.places();
  const TiledProduct product{weight.const_data_ptr(),
                             outputs_of(weight),
                             weight.size(1),
                             places.data(),
                             stride * pictures.channels,
                             offset.data(),
                             other.defined() ? other.const_data_ptr() : nullptr,
                             y.mutable_data_ptr(),
                             false};
  const int64_t band = pictures.band();
  const int64_t bands = up(height, band);
  parallel_for(0, pictures.images * bands, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = scratch_for(product, band * width / kRowsOfTile);
    const at::Tensor copy = at::empty({pictures.lines(band) * pictures.line()}, at::kByte);
    auto* const lines = static_cast<char*>(copy.mutable_data_ptr());
    std::vector<RowTile> tiles;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t image = item / bands;
      const int64_t first = item % bands * band;
      const int64_t count = std::min(band, height - first);
      pictures.copy(image, first, count, lines);
      tiles.clear();
      for (int64_t row = 0; row < count; ++row) {
        for (int64_t column = 0; column < width; column += kRowsOfTile) {
          tiles.push_back({lines + row * stride * pictures.line() + column * stride * pictures.pixel(),
                           (image * height + first + row) * width + column, kRowsOfTile});
        }
      }
      kernels().multiply_rows(product, tiles.data(), static_cast<int64_t>(tiles.size()), scratch.mutable_data_ptr());
    }
  });
  return y;
}

}  // namespace animatediff::cpu
