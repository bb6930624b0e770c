// The memory plan against published and measured numbers, with devices that are only described; running out of memory;
// networks whose parameters lie elsewhere.

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <stdexcept>
#include <string>

#include "../engine/error.h"
#include "../engine/graph.h"
#include "../engine/memory/exhaustion.h"
#include "../engine/memory/offload.h"
#include "../engine/memory/plan.h"
#include "check.h"

using namespace animatediff;

namespace {

constexpr double kGiga = 1e9;

// Stable Diffusion 1.5 with a v2 motion module in float16: parameters of facts/performance.md, two bytes each.
const NetworkSizes kSd15{.text_encoder = 246'000'000,
                         .unet = 2'625'000'000,
                         .vae_decoder = 99'000'000,
                         .unet_channels = 320,
                         .decoder_channels = 128,
                         .unet_element = 2,
                         .decoder_element = 2};

// One guided clip of 16 frames of 512x512.
const Workload kClip{.rows = 2, .frames = 16, .height = 512, .width = 512, .vae_scale_factor = 8};

DeviceMemory gpu(double gigabytes) { return {.is_host = false, .available = static_cast<uint64_t>(gigabytes * kGiga)}; }

MemoryPlan automatic(double gigabytes) { return plan_memory(AD_MEMORY_AUTO, kClip, kSd15, gpu(gigabytes)); }

void estimates_are_near_what_was_measured() {
  // On an H200, 16 frames of 512x512 in float16: 4.01 GB, and 3.43 GB with one half of guidance at a time.
  const double whole = static_cast<double>(sampling_bytes({2, 2, AD_OFFLOAD_NONE}, kClip, kSd15)) / kGiga;
  EXPECT(whole > 4.01 && whole < 5.1);
  const double half = static_cast<double>(sampling_bytes({1, 1, AD_OFFLOAD_IDLE}, kClip, kSd15)) / kGiga;
  EXPECT(half > 3.43 && half < 4.2);
  // A further frame of 256x256 in bfloat16 took diffusers' decoder 93 MiB.
  const Workload small{.rows = 1, .frames = 16, .height = 256, .width = 256, .vae_scale_factor = 8};
  const auto decoding = [&](int64_t frames) {
    return static_cast<double>(decoding_bytes({1, frames, AD_OFFLOAD_NONE}, small, kSd15));
  };
  EXPECT_NEAR((decoding(2) - decoding(1)) / (1 << 20), 93, 5);
}

void the_plan_follows_what_is_free() {
  EXPECT((automatic(24) == MemoryPlan{2, 2, AD_OFFLOAD_NONE}));
  EXPECT((automatic(6) == MemoryPlan{2, 2, AD_OFFLOAD_NONE}));
  EXPECT((automatic(5) == MemoryPlan{2, 1, AD_OFFLOAD_IDLE}));
  EXPECT((automatic(4) == MemoryPlan{1, 1, AD_OFFLOAD_IDLE}));
  EXPECT((automatic(3) == MemoryPlan{1, 1, AD_OFFLOAD_SEQUENTIAL}));
  // Nothing fits: the smallest is tried all the same.
  EXPECT((automatic(1) == MemoryPlan{1, 1, AD_OFFLOAD_SEQUENTIAL}));
  // A device that does not tell is taken at its word.
  EXPECT((automatic(0) == MemoryPlan{2, 2, AD_OFFLOAD_NONE}));
}

void every_plan_but_the_last_fits() {
  for (double gigabytes = 3; gigabytes < 30; gigabytes += 0.25) {
    const MemoryPlan plan = automatic(gigabytes);
    if (plan.offload == AD_OFFLOAD_SEQUENTIAL) continue;
    EXPECT(static_cast<double>(sampling_bytes(plan, kClip, kSd15)) <= gigabytes * kGiga);
    EXPECT(static_cast<double>(decoding_bytes(plan, kClip, kSd15)) <= gigabytes * kGiga);
  }
}

void low_is_below_its_target_and_high_does_not_look() {
  const MemoryPlan low = plan_memory(AD_MEMORY_LOW, kClip, kSd15, gpu(24));
  EXPECT((low == MemoryPlan{1, 1, AD_OFFLOAD_IDLE}));
  EXPECT(static_cast<double>(sampling_bytes(low, kClip, kSd15)) <= 4.2 * kGiga);
  EXPECT(static_cast<double>(decoding_bytes(low, kClip, kSd15)) <= 4.2 * kGiga);
  EXPECT((plan_memory(AD_MEMORY_HIGH, kClip, kSd15, gpu(1)) == MemoryPlan{2, 2, AD_OFFLOAD_NONE}));
}

void larger_work_is_cut_smaller() {
  Workload batch = kClip;
  batch.rows = 8;
  EXPECT((plan_memory(AD_MEMORY_AUTO, batch, kSd15, gpu(80)) == MemoryPlan{8, 2, AD_OFFLOAD_NONE}));
  EXPECT((plan_memory(AD_MEMORY_AUTO, batch, kSd15, gpu(10)) == MemoryPlan{4, 1, AD_OFFLOAD_IDLE}));
  Workload wide = kClip;
  wide.height = wide.width = 1024;
  EXPECT(plan_memory(AD_MEMORY_AUTO, wide, kSd15, gpu(80)).decode_frames == 1);
}

void the_host_splits_and_offloads_nothing() {
  const auto host = [](double gigabytes) {
    return DeviceMemory{.is_host = true, .available = static_cast<uint64_t>(gigabytes * kGiga)};
  };
  EXPECT((plan_memory(AD_MEMORY_AUTO, kClip, kSd15, host(16)) == MemoryPlan{2, 1, AD_OFFLOAD_NONE}));
  EXPECT((plan_memory(AD_MEMORY_AUTO, kClip, kSd15, host(5)) == MemoryPlan{1, 1, AD_OFFLOAD_NONE}));
  EXPECT((plan_memory(AD_MEMORY_LOW, kClip, kSd15, host(16)) == MemoryPlan{1, 1, AD_OFFLOAD_NONE}));
  Workload small = kClip;
  small.height = small.width = 256;
  EXPECT((plan_memory(AD_MEMORY_AUTO, small, kSd15, host(16)) == MemoryPlan{2, 2, AD_OFFLOAD_NONE}));
  EXPECT((plan_memory(AD_MEMORY_LOW, small, kSd15, host(16)) == MemoryPlan{1, 1, AD_OFFLOAD_NONE}));
  NetworkSizes wide = kSd15;
  wide.decoder_channels *= 64;
  EXPECT((plan_memory(AD_MEMORY_AUTO, small, wide, host(12)) == MemoryPlan{2, 1, AD_OFFLOAD_NONE}));
}

void stages_shrink_until_nothing_is_left() {
  MemoryPlan plan{4, 4, AD_OFFLOAD_NONE};
  int sampling = 0;
  while (shrink_sampling(plan, gpu(1))) ++sampling;
  EXPECT(sampling == 4 && (plan == MemoryPlan{1, 4, AD_OFFLOAD_SEQUENTIAL}));
  int decoding = 0;
  while (shrink_decoding(plan, gpu(1))) ++decoding;
  EXPECT(decoding == 2 && plan.decode_frames == 1);
  MemoryPlan host{2, 1, AD_OFFLOAD_NONE};
  EXPECT(shrink_sampling(host, {.is_host = true}) && !shrink_sampling(host, {.is_host = true}));
  EXPECT(!shrink_encoding(host, {.is_host = true}) && host.offload == AD_OFFLOAD_NONE);
}

void what_would_fit_is_named() {
  Workload huge = kClip;
  huge.height = huge.width = 2048;
  EXPECT(describe_what_fits(huge, kSd15, gpu(8)) ==
         "Ask for 8 frames of 2048x2048 or 16 frames of 1344x1344, or free memory on the device.");
  EXPECT(describe_what_fits(kClip, kSd15, gpu(0.1)) ==
         "Ask for fewer frames or a smaller size, or free memory on the device.");
}

void work_is_tried_again_only_when_memory_ran_out() {
  int size = 8;
  int released = 0;
  const int result = retry_smaller(
      c10::DeviceType::CPU,
      [&] {
        TORCH_CHECK_WITH(OutOfMemoryError, size < 3, "out of memory: ", size);
        return size;
      },
      [&](const std::string& reason) {
        EXPECT(reason.find("out of memory") != std::string::npos);
        size /= 2;
        ++released;
      });
  EXPECT(result == 2 && released == 2);
  bool thrown = false;
  try {
    retry_smaller(
        c10::DeviceType::CPU, []() -> int { throw std::runtime_error("another failure"); },
        [](const std::string&) { check::fail(__FILE__, __LINE__, "shrunk for another failure"); });
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  EXPECT(thrown);
}

struct Words {
  const char* text;
  bool names;
  bool means;
};

// As the libraries write them.
constexpr Words kWords[] = {
    {"CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB", true, true},
    {"CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in the documentation", true, true},
    {"DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12", true, true},
    {"CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", true, true},
    {"cuDNN error: CUDNN_STATUS_ALLOC_FAILED", true, true},
    {"cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", true, true},
    {"cuDNN Frontend error: [cudnn_frontend] Error: CUDNN_STATUS_INTERNAL_ERROR: out of memory", true, true},
    {"CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", false, true},
    {"cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", false, true},
    {"GET was unable to find an engine to execute this computation", false, true},
    {"FIND was unable to find an engine to execute this computation", false, true},
    {"cuDNN Frontend error: [cudnn_frontend] Error: No valid execution plans built.", false, true},
    {"cuDNN Frontend error: [cudnn_frontend] Error: No execution plans built successfully.", false, true},
    {"No available kernel. Aborting execution.", false, true},
    {"CUDA error: an illegal memory access was encountered", false, false},
    {"CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`", false, false},
    {"cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", false, false},
    {"cuDNN error: CUDNN_STATUS_BAD_PARAM", false, false},
    {"The size of tensor a (3) must match the size of tensor b (5) at non-singleton dimension 1", false, false},
};

void libraries_words_for_exhausted_memory_are_known() {
  for (const Words& words : kWords) {
    if (names_exhaustion(words.text) != words.names || means_exhaustion(words.text) != words.means) {
      check::fail(__FILE__, __LINE__, words.text);
    }
    int size = 2;
    bool thrown = false;
    try {
      retry_smaller(
          c10::DeviceType::CPU, [&] { TORCH_CHECK(size < 2, words.text); },
          [&](const std::string& reason) {
            EXPECT(reason == words.text);
            size /= 2;
          });
    } catch (const c10::Error&) {
      thrown = true;
    }
    EXPECT(thrown != words.means && (size == 1) == words.means);
  }
}

void tensors_beyond_the_limit_are_refused() {
  use_arena_for_host_tensors();
  limit_host_memory(size_t{8} << 20);
  const at::Tensor first = at::empty({6 << 20}, at::kByte);
  EXPECT(host_memory_left() <= size_t{2} << 20);
  bool refused = false;
  try {
    static_cast<void>(at::empty({4 << 20}, at::kByte));
  } catch (...) {
    refused = exhaustion(std::current_exception()).has_value();
  }
  EXPECT(refused);
  limit_host_memory(0);
  EXPECT(at::empty({4 << 20}, at::kByte).numel() == 4 << 20);
}

// Parameters on the host and a call on another device, which is the meta device here: it has shapes and no memory.
void parameters_come_where_they_are_used() {
  const c10::InferenceMode inference;
  const auto network = [] {
    torch::jit::Module module("network");
    module.register_parameter("weight", at::ones({3, 5}), false);
    module.register_parameter("bias", at::ones({5}), false);
    // As a convolution declares its own.
    module.register_attribute("offset", c10::OptionalType::ofTensor(), at::ones({5}), true);
    module.register_attribute("nothing", c10::OptionalType::ofTensor(), c10::IValue());
    module.define(R"(
      def forward(self, x: Tensor) -> Tensor:
        y = torch.mm(x, self.weight)
        if x.size(0) > 1:
          y = y + self.bias
        offset = self.offset
        if offset is not None:
          y = torch.addmm(offset, y, torch.mm(self.weight.t(), self.weight))
        nothing = self.nothing
        if nothing is not None:
          y = y + nothing
        return y
    )");
    return module;
  };
  torch::jit::Module module = network();
  fetch_parameters_on_use(module);
  const at::Tensor rows = at::ones({2, 3});
  {
    const DeviceOfCall device(c10::DeviceType::Meta);
    const at::Tensor elsewhere = module.forward({rows.to(at::kMeta)}).toTensor();
    EXPECT(elsewhere.is_meta() && elsewhere.sizes().equals({2, 5}));
  }
  const DeviceOfCall device(c10::DeviceType::CPU);
  EXPECT(module.forward({rows}).toTensor().equal(network().forward({rows}).toTensor()));
  for (const auto& parameter : module.parameters()) EXPECT(parameter.device().is_cpu());
  bool refused = false;
  try {
    static_cast<void>(network().forward({rows.to(at::kMeta)}));
  } catch (const std::exception&) {
    refused = true;
  }
  EXPECT(refused);
}

// A network of the package gives the same with the operator in it, and is saved without it.
void networks_are_saved_as_their_archives_have_them() {
  const c10::InferenceMode inference;
  const auto filled = [](bool fetches) {
    Graph graph = Graph::load("native/graphs/tiny-text_encoder.pt");
    if (fetches) graph.fetch_parameters_on_use();
    const torch::jit::Module plain = graph.plain();
    for (const auto& tensor : plain.named_parameters()) graph.set(tensor.name, at::ones(tensor.value.sizes()));
    for (const auto& tensor : plain.named_buffers()) {
      graph.set(tensor.name, at::zeros(tensor.value.sizes(), tensor.value.dtype()));
    }
    graph.require_complete();
    return graph;
  };
  const at::Tensor ids = at::zeros({2, 77}, at::kLong);
  Graph graph = filled(true);
  EXPECT(graph({ids, int64_t{0}}).equal(filled(false)({ids, int64_t{0}})));
  const auto code = [](const torch::jit::Module& module) { return module.dump_to_str(true, false, false); };
  EXPECT(code(graph.plain()).find("animatediff") == std::string::npos);
  EXPECT(graph.plain().parameters().size() > 0);
  for (const auto& parameter : graph.plain().parameters()) EXPECT(parameter.equal(at::ones_like(parameter)));
}

}  // namespace

int main() {
  estimates_are_near_what_was_measured();
  the_plan_follows_what_is_free();
  every_plan_but_the_last_fits();
  low_is_below_its_target_and_high_does_not_look();
  larger_work_is_cut_smaller();
  the_host_splits_and_offloads_nothing();
  stages_shrink_until_nothing_is_left();
  what_would_fit_is_named();
  work_is_tried_again_only_when_memory_ran_out();
  libraries_words_for_exhausted_memory_are_known();
  tensors_beyond_the_limit_are_refused();
  parameters_come_where_they_are_used();
  networks_are_saved_as_their_archives_have_them();
  return check::finish("memory");
}
