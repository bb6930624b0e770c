// The CUDA operators on a device against the CPU's, over random shapes, and on tensors with more than 2^31 elements.
// Ends with 77 where there is no device.

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/ops/equal.h>
#include <dlfcn.h>

#include <filesystem>

#include "../engine/cuda/library.h"
#include "../engine/device.h"
#include "operator_cases.h"

namespace {

constexpr int kSkipped = 77;

/** libtorch_cuda must be open before the first question about CUDA. */
std::string open_cuda() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&at::globalContext), &info) == 0) return "LibTorch has no file";
  const auto path = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  if (!std::filesystem::exists(path)) return "LibTorch is a CPU build";
  if (::dlopen(path.c_str(), RTLD_LAZY | RTLD_GLOBAL) == nullptr) return ::dlerror();
  return animatediff::cuda_device_count() == 0 ? "no CUDA device answers" : "";
}

/** The end of a tensor that 32 bits cannot count through must come out as it does alone. */
void large_tensors_end_right(at::Device device) {
  using namespace animatediff::operators;
  const auto [free_bytes, total_bytes] = at::accelerator::getMemoryInfo(device.index());
  if (free_bytes < size_t{14} << 30) {
    std::printf("large tensors: skipped, %zu of %zu bytes are free\n", free_bytes, total_bytes);
    return;
  }
  const auto options = at::TensorOptions().dtype(at::kHalf).device(device);
  const auto last = [](const at::Tensor& x) { return x.narrow(0, x.size(0) - 1, 1).clone(); };
  const at::Tensor weight = at::randn({1024}, options);
  const Optional none;
  {
    const at::Tensor x = at::randn({34, 65536, 1024}, options);  // 2.28e9 elements
    const at::Tensor end = last(x);
    EXPECT(last(token_group_norm(x, weight, weight, none, 34, 32, 1e-5, true))
               .allclose(token_group_norm(end, weight, weight, none, 1, 32, 1e-5, true), 1e-3, 1e-2));
    EXPECT(at::equal(last(token_layer_norm(x, weight, weight, none, 1e-5)),
                     token_layer_norm(end, weight, weight, none, 1e-5)));
    EXPECT(at::equal(last(gated_gelu(x, none)), gated_gelu(end, none)));
    EXPECT(at::equal(last(add_bias_residual_(x, weight, x)), add_bias_residual_(end, weight, end)));
  }
  const at::Tensor qkv = at::randn({5, 32, 15000, 3 * 320}, options);  // 2.30e9 elements
  EXPECT(at::equal(last(temporal_attention(qkv, 8)), temporal_attention(last(qkv), 8)));
}

}  // namespace

int main() {
  const c10::InferenceMode inference;
  const std::string missing = open_cuda();
  if (!missing.empty()) {
    std::printf("cuda_check: skipped: %s\n", missing.c_str());
    return kSkipped;
  }
  const at::Device device(at::kCUDA, 0);
  const std::string& problem = animatediff::cuda::kernels_problem(device);
  if (!problem.empty()) {
    std::fprintf(stderr, "cuda_check: the kernels do not run: %s\n", problem.c_str());
    return 1;
  }
  for (const at::ScalarType type : cases::kTypes) {
    cases::Calls(type, 3, cases::kRegistered, cases::kRegistered, device).all(60);
  }
  large_tensors_end_right(device);
  return check::finish("cuda_check");
}
