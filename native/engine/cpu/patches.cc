#include "patches.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "layers.h"
#include "parallel.h"

namespace animatediff::cpu {
namespace {

constexpr int64_t kKernel = 3;
constexpr int64_t kPatchBytes = int64_t{32} << 20;

int64_t outputs_of(int64_t size, int64_t stride) { return (size - 1) / stride + 1; }

// Pixels [images, rows, columns] of `pixel` bytes each, and where the kernel stands on them.
struct Pixels {
  const char* data;
  int64_t images, height, width;
  int64_t pixel;
  int64_t stride;

  [[nodiscard]] int64_t rows() const { return outputs_of(height, stride); }
  [[nodiscard]] int64_t columns() const { return outputs_of(width, stride); }

  /** Writes what lies under the kernel at one output: nine pixels row by row, zeros beyond the edges. */
  void gather(int64_t image, int64_t row, int64_t column, char* patch) const {
    const int64_t left = column * stride - 1;
    const int64_t first = std::max<int64_t>(0, -left);
    const int64_t last = std::min(kKernel, width - left);
    for (int64_t ky = 0; ky < kKernel; ++ky, patch += kKernel * pixel) {
      const int64_t y = row * stride - 1 + ky;
      if (y < 0 || y >= height) {
        std::memset(patch, 0, static_cast<size_t>(kKernel * pixel));
        continue;
      }
      std::memset(patch, 0, static_cast<size_t>(first * pixel));
      const char* const from = data + ((image * height + y) * width + left + first) * pixel;
      std::memcpy(patch + first * pixel, from, static_cast<size_t>((last - first) * pixel));
      std::memset(patch + last * pixel, 0, static_cast<size_t>((kKernel - last) * pixel));
    }
  }
};

// [images, rows * columns, 9 * channels] of the images from number `first`.
at::Tensor patches_of(const at::Tensor& x, int64_t first, int64_t images, int64_t stride) {
  const int64_t channels = x.size(1);
  const Pixels pixels{static_cast<const char*>(x.const_data_ptr()),      x.size(0), x.size(2), x.size(3),
                      channels * static_cast<int64_t>(x.element_size()), stride};
  const int64_t outputs = pixels.rows() * pixels.columns();
  at::Tensor patches = at::empty({images, outputs, kKernel * kKernel * channels}, x.options());
  auto* const to = static_cast<char*>(patches.mutable_data_ptr());
  parallel_for(0, images * outputs, 16, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t place = item % outputs;
      pixels.gather(first + item / outputs, place / pixels.columns(), place % pixels.columns(),
                    to + item * kKernel * kKernel * pixels.pixel);
    }
  });
  return patches;
}

}  // namespace

at::Tensor patch_matrix(const at::Tensor& weight) {
  return weight.permute({0, 2, 3, 1}).contiguous().view({weight.size(0), -1});
}

at::Tensor patch_convolution(const at::Tensor& x, const at::Tensor& matrix, const std::optional<at::Tensor>& bias,
                             int64_t stride, const at::Tensor& added) {
  const int64_t rows = outputs_of(x.size(2), stride);
  const int64_t columns = outputs_of(x.size(3), stride);
  const int64_t bytes = rows * columns * matrix.size(1) * static_cast<int64_t>(x.element_size());
  const int64_t parts = std::min((x.size(0) * bytes + kPatchBytes - 1) / kPatchBytes, x.size(0));
  const int64_t each = (x.size(0) + parts - 1) / parts;
  const at::Tensor others = added.defined() ? tokens(channels_last(added)) : added;
  std::vector<at::Tensor> results;
  for (int64_t first = 0; first < x.size(0); first += each) {
    const int64_t count = std::min(each, x.size(0) - first);
    const at::Tensor other = others.defined() ? others.narrow(0, first, count) : others;
    results.push_back(product(patches_of(x, first, count, stride), matrix, bias, other));
  }
  const at::Tensor y = results.size() == 1 ? results.front() : at::cat(results, 0);
  return y.view({x.size(0), rows, columns, -1}).permute({0, 3, 1, 2});
}

}  // namespace animatediff::cpu
