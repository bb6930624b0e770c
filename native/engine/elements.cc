#include "elements.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <string>

#include "cpu/parallel.h"
#include "dtype.h"
#include "error.h"
#include "kernels/kernels.h"

namespace animatediff {
namespace {

// Elements that are read at once: with the float32 between two 16-bit types they stay in the second-level cache, and
// LibTorch does not part their conversion among threads, whose waking would take longer: bench/NOTES.md.
constexpr int64_t kChunk = at::internal::GRAIN_SIZE / 2;
// What a thread reads at least.
constexpr int64_t kChunksOfThread = 8;

bool is_half(c10::ScalarType type) { return type == at::kHalf || type == at::kBFloat16; }

// Whether every finite value of one type is finite in another.
bool holds_all(c10::ScalarType target, c10::ScalarType source) {
  if (target == source || target == at::kDouble) return true;
  if (target == at::kFloat) return source != at::kDouble;
  if (target == at::kBFloat16) return source == at::kHalf;
  return false;
}

// Half to bfloat16 and back goes one element at a time in LibTorch; to float32 and from there it does not.
void cast(const at::Tensor& from, const at::Tensor& to, const at::Tensor& between) {
  if (is_half(from.scalar_type()) && is_half(to.scalar_type())) {
    const at::Tensor wide = between.narrow(0, 0, from.numel());
    wide.copy_(from);
    to.copy_(wide);
  } else {
    to.copy_(from);
  }
}

}  // namespace

bool all_finite(const at::Tensor& tensor) {
  const void* const values = tensor.const_data_ptr();
  switch (tensor.scalar_type()) {
    case at::kFloat: return kernels().finite_32(values, tensor.numel(), 0x7f800000U);
    case at::kHalf: return kernels().finite_16(values, tensor.numel(), 0x7c00U);
    case at::kBFloat16: return kernels().finite_16(values, tensor.numel(), 0x7f80U);
    case at::kDouble:
    case at::kFloat8_e4m3fn:
    case at::kFloat8_e5m2: return at::isfinite(tensor.to(at::kFloat)).all().item<bool>();
    default: return true;
  }
}

void not_finite(const ad_source& source, const char* parameter, const char* reason) {
  throw EngineError(AD_WEIGHTS_NOT_FINITE, std::string(reason) + " in the tensor for " + parameter + " of " +
                                               source.file + ". The file is damaged; download it again.");
}

void read_elements(const ad_source& source, int64_t first, SourceFiles& files, const char* parameter,
                   const at::Tensor& target) {
  const auto type = scalar_type(source.dtype);
  const auto wanted = target.scalar_type();
  const auto width = static_cast<int64_t>(c10::elementSize(type));
  const at::Tensor flat = target.view(-1);
  const int64_t total = flat.numel();
  const int64_t most = std::min(kChunk, total);
  const bool casts = type != wanted;
  const bool wide = is_half(type) && is_half(wanted) && casts;
  cpu::parallel_for(0, (total + kChunk - 1) / kChunk, kChunksOfThread, [&](int64_t begin, int64_t end) {
    // Other threads do not know the mode of the one that calls.
    const c10::InferenceMode mode;
    const at::Tensor buffer = casts ? at::empty({most}, at::TensorOptions().dtype(type)) : at::Tensor();
    const at::Tensor between = wide ? at::empty({most}, at::TensorOptions().dtype(at::kFloat)) : at::Tensor();
    for (int64_t done = begin * kChunk; done < std::min(end * kChunk, total); done += kChunk) {
      const int64_t count = std::min(kChunk, total - done);
      const at::Tensor to = flat.narrow(0, done, count);
      const at::Tensor from = casts ? buffer.narrow(0, 0, count) : to;
      files.read(source.file, source.offset + static_cast<uint64_t>((first + done) * width), from.mutable_data_ptr(),
                 static_cast<size_t>(count * width));
      if (!all_finite(from)) not_finite(source, parameter, "NaN or infinity");
      if (!casts) continue;
      cast(from, to, between);
      if (!holds_all(wanted, type) && !all_finite(to)) {
        not_finite(source, parameter, "A value beyond the range of the chosen dtype");
      }
    }
  });
}

}  // namespace animatediff
