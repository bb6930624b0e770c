// Times the networks alone, with random weights: no Node, no files but the graphs. Prints one line of JSON for each
// measurement. What is compared runs in one process, so that ratios hold on a machine that others use.
//
//   network_bench --device cuda --size 512 --frames 16 --dtype float16 --rows 2 --calls 10
//                 [--only parity,unet,vae,profile] [--graphs native/graphs] [--family sd15]
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/profiler_kineto.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <sstream>

#include "../engine/cuda/library.h"
#include "../engine/cuda/replace.h"
#include "../engine/cuda/step_graph.h"
#include "../engine/cuda/text_keys.h"
#include "../engine/device.h"

namespace {

using torch::jit::Module;
using Clock = std::chrono::steady_clock;

struct Flags {
  std::string device = "cuda";
  std::string graphs = "native/graphs";
  std::string family = "sd15";
  std::string only = "parity,unet,vae,profile";
  std::string dtype = "float16";
  int64_t size = 512;
  int64_t frames = 16;
  int64_t rows = 2;
  int64_t calls = 10;

  bool runs(const char* what) const {
    return ("," + only + ",").find(std::string(",") + what + ",") != std::string::npos;
  }
  at::ScalarType type() const {
    return dtype == "float16" ? at::kHalf : dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  }
};

Flags read_flags(int count, char** values) {
  Flags flags;
  std::map<std::string, std::string*> texts{{"--device", &flags.device},
                                            {"--graphs", &flags.graphs},
                                            {"--family", &flags.family},
                                            {"--only", &flags.only},
                                            {"--dtype", &flags.dtype}};
  std::map<std::string, int64_t*> numbers{
      {"--size", &flags.size}, {"--frames", &flags.frames}, {"--rows", &flags.rows}, {"--calls", &flags.calls}};
  for (int i = 1; i + 1 < count; i += 2) {
    if (const auto text = texts.find(values[i]); text != texts.end()) *text->second = values[i + 1];
    else if (const auto number = numbers.find(values[i]); number != numbers.end())
      *number->second = std::stoll(values[i + 1]);
    else throw std::invalid_argument(std::string("unknown flag ") + values[i]);
  }
  return flags;
}

/** libtorch_cuda must be open before the first question about CUDA. */
void open_cuda() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&at::globalContext), &info) == 0) throw std::runtime_error("no LibTorch");
  const auto path = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  if (::dlopen(path.c_str(), RTLD_LAZY | RTLD_GLOBAL) == nullptr) throw std::runtime_error(::dlerror());
  if (animatediff::cuda_device_count() == 0) throw std::runtime_error("no CUDA device answers");
}

/** Weights near what trained networks have, so that activations neither vanish nor explode. */
void fill(const Module& module, c10::Device device) {
  for (const auto& part : module.modules()) {
    for (const auto& parameter : part.named_parameters(false)) {
      const at::Tensor& given = parameter.value;
      const double scale = given.dim() > 1
                               ? 1 / std::sqrt(static_cast<double>(given.numel()) / static_cast<double>(given.size(0)))
                               : 0.2;
      const double middle = given.dim() == 1 && parameter.name == "weight" ? 1 : 0;
      Module(part).setattr(parameter.name,
                           at::randn(given.sizes(), at::TensorOptions().device(device)) * scale + middle);
    }
    for (const auto& buffer : part.named_buffers(false)) {
      Module(part).setattr(buffer.name, at::randn(buffer.value.sizes(), at::TensorOptions().device(device)) * 0.5);
    }
  }
}

void share(const Module& from, const Module& to, at::ScalarType type) {
  const auto names = from.named_modules();
  auto target = to.named_modules().begin();
  for (const auto& [name, module] : names) {
    for (const auto& parameter : module.named_parameters(false))
      Module((*target).value).setattr(parameter.name, parameter.value.to(type));
    for (const auto& buffer : module.named_buffers(false))
      Module((*target).value).setattr(buffer.name, buffer.value.to(type));
    ++target;
  }
}

void print_error(const std::string& name, const std::exception& error) {
  std::string text = std::string(error.what()).substr(0, 800);
  std::ranges::replace(text, '"', '\'');
  std::ranges::replace(text, '\n', ' ');
  std::printf(R"({"name":"%s","error":"%s"})"
              "\n",
              name.c_str(), text.c_str());
}

class Bench {
 public:
  explicit Bench(Flags flags)
      : flags_(std::move(flags)), device_(flags_.device == "cuda" ? c10::Device(at::kCUDA, 0) : c10::Device(at::kCPU)) {
    if (!device_.is_cpu()) {
      open_cuda();
      const std::string& problem = animatediff::cuda::kernels_problem(device_);
      if (!problem.empty()) throw std::runtime_error(problem);
    }
  }

  void run() {
    if (flags_.runs("parity")) parity();
    if (flags_.runs("unet") || flags_.runs("profile")) unet();
    if (flags_.runs("vae")) vae();
  }

 private:
  Module load(const char* network) const {
    return torch::jit::load(flags_.graphs + "/" + flags_.family + "-" + network + ".pt");
  }

  Module specialised(const Module& source, const char* network, at::ScalarType type, bool kernels) const {
    Module module = load(network);
    share(source, module, type);
    if (kernels) {
      animatediff::cuda::replace_modules(module);
      animatediff::cuda::pack_weights(module);
    }
    return module;
  }

  at::TensorOptions options(at::ScalarType type) const { return at::TensorOptions().device(device_).dtype(type); }

  static int64_t text_width(const Module& unet) {
    for (const auto& parameter : unet.named_parameters()) {
      if (parameter.name.ends_with("attn2.to_k.weight")) return parameter.value.size(1);
    }
    throw std::runtime_error("the UNet has no attention to text");
  }

  std::vector<c10::IValue> unet_inputs(const Module& unet, at::ScalarType type, int64_t rows, int64_t frames,
                                       int64_t size) const {
    at::manual_seed(7);
    const auto draw = [&](at::IntArrayRef sizes) { return at::randn(sizes, options(at::kFloat)).to(type); };
    return {draw({rows, 4, frames, size / 8, size / 8}), at::full({rows}, 481.0, options(at::kFloat)),
            draw({rows, 77, text_width(unet)}), false, true};
  }

  at::Tensor call(Module& module, const std::vector<c10::IValue>& inputs) const {
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    return module.forward(inputs).toTensor();
  }

  void synchronize() const { animatediff::synchronize(device_); }

  /** Median milliseconds of a call by the clock, and of queueing it. */
  void time(const std::string& name, const std::function<void()>& body, int64_t calls) const {
    const auto ms = [](Clock::duration duration) {
      return std::chrono::duration<double, std::milli>(duration).count();
    };
    try {
      body();
      synchronize();
      if (!device_.is_cpu()) at::accelerator::resetPeakStats(device_.index());
      body();
      synchronize();
      std::vector<double> whole;
      std::vector<double> queued;
      for (int64_t i = 0; i < calls; ++i) {
        const auto begun = Clock::now();
        body();
        queued.push_back(ms(Clock::now() - begun));
        synchronize();
        whole.push_back(ms(Clock::now() - begun));
      }
      std::ranges::sort(whole);
      std::ranges::sort(queued);
      const double peak = device_.is_cpu() ? 0 : static_cast<double>(animatediff::peak_allocated_bytes(device_)) / 1e9;
      std::printf(R"({"name":"%s","ms":%.3f,"min":%.3f,"queue":%.3f,"peakGB":%.3f})"
                  "\n",
                  name.c_str(), whole[whole.size() / 2], whole[0], queued[queued.size() / 2], peak);
    } catch (const std::exception& error) {
      print_error(name, error);
    }
    std::fflush(stdout);
  }

  void compare(const std::string& name, const at::Tensor& actual, const at::Tensor& expected) const {
    const at::Tensor difference = actual.to(at::kFloat) - expected;
    std::printf(R"({"name":"%s","relative":%.3e,"max":%.3e,"std":%.3e})"
                "\n",
                name.c_str(), (difference.norm() / expected.norm()).item<double>(),
                difference.abs().max().item<double>(), expected.std().item<double>());
    std::fflush(stdout);
  }

  /** Against the plain graph in float32 without TF32. */
  void parity() {
    animatediff::use_full_float32();
    at::manual_seed(5);
    for (const char* const network : {"unet_motion_mid", "vae_decoder"}) {
      const bool is_unet = network[0] == 'u';
      Module source = load(network);
      fill(source, device_);
      const auto inputs = [&](at::ScalarType type) {
        if (is_unet)
          return unet_inputs(source, type, flags_.rows, std::min<int64_t>(flags_.frames, 8),
                             std::min<int64_t>(flags_.size, 256));
        at::manual_seed(8);
        return std::vector<c10::IValue>{at::randn({2, 4, 32, 32}, options(at::kFloat)).to(type)};
      };
      const at::Tensor expected = call(source, inputs(at::kFloat)).to(at::kFloat);
      for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kBFloat16}) {
        for (const bool kernels : {false, true}) {
          Module module = specialised(source, network, type, kernels);
          compare(std::string("parity ") + network + " " + c10::toString(type) + (kernels ? " kernels" : " plain"),
                  call(module, inputs(type)), expected);
        }
      }
    }
  }

  void profile(const std::string& name, const std::function<void()>& body) const {
    using namespace torch::profiler::impl;
    body();
    synchronize();
    const std::set<ActivityType> activities{device_.is_cpu() ? ActivityType::CPU : ActivityType::CUDA};
    const ProfilerConfig config(ProfilerState::KINETO);
    torch::autograd::profiler::prepareProfiler(config, activities);
    torch::autograd::profiler::enableProfiler(config, activities);
    body();
    synchronize();
    const auto result = torch::autograd::profiler::disableProfiler();
    struct Sum {
      double ms = 0;
      int64_t count = 0;
    };
    std::map<std::string, Sum> sums;
    double total = 0;
    for (const auto& event : result->events()) {
      if (!device_.is_cpu() && event.deviceType() == c10::DeviceType::CPU) continue;
      Sum& sum = sums[event.name()];
      const double ms = static_cast<double>(event.durationNs()) / 1e6;
      sum.ms += ms;
      sum.count += 1;
      total += ms;
    }
    std::vector<std::pair<std::string, Sum>> sorted(sums.begin(), sums.end());
    std::ranges::sort(sorted, [](const auto& a, const auto& b) { return a.second.ms > b.second.ms; });
    for (const auto& [kernel, sum] : sorted) {
      if (sum.ms < total / 2000) break;
      std::string text = kernel.substr(0, 150);
      std::ranges::replace(text, '"', '\'');
      std::printf(R"({"profile":"%s","ms":%.3f,"count":%ld,"kernel":"%s"})"
                  "\n",
                  name.c_str(), sum.ms, static_cast<long>(sum.count), text.c_str());
    }
    std::printf(R"({"profile":"%s","ms":%.3f,"kernel":"total"})"
                "\n",
                name.c_str(), total);
    std::fflush(stdout);
  }

  void unet() {
    Module source = load("unet_motion_mid");
    at::manual_seed(5);
    fill(source, device_);
    const at::ScalarType type = flags_.type();
    source.to(type);
    Module kernels = specialised(source, "unet_motion_mid", type, true);
    const auto inputs = unet_inputs(source, type, flags_.rows, flags_.frames, flags_.size);
    const auto run = [&](Module& module) { return [&] { call(module, inputs); }; };
    const std::string of =
        " " + std::to_string(flags_.rows) + "x" + std::to_string(flags_.frames) + "x" + std::to_string(flags_.size);
    auto& context = at::globalContext();
    if (flags_.runs("unet")) {
      time("unet plain" + of, run(source), flags_.calls / 2 + 1);
      context.setBenchmarkCuDNN(false);
      time("unet kernels" + of, run(kernels), flags_.calls);
      context.setBenchmarkCuDNN(true);
      time("unet kernels, cudnn.benchmark" + of, run(kernels), flags_.calls);
      context.setBenchmarkCuDNN(false);
      if (!device_.is_cpu()) {
        captured(kernels, inputs, of);
        animatediff::cuda::TextKeys text;
        const animatediff::cuda::TextKeys::Use use(text);
        captured(kernels, inputs, ", text kept" + of);
      }
    }
    if (flags_.runs("unet") && flags_.rows % 2 == 0) {
      std::vector<c10::IValue> shared = inputs;
      shared[0] = inputs[0].toTensor().narrow(0, 0, flags_.rows / 2).clone();
      context.setBenchmarkCuDNN(false);
      time("unet kernels, shared sample" + of, [&] { call(kernels, shared); }, flags_.calls);
      if (!device_.is_cpu()) captured(kernels, shared, ", shared sample" + of);
    }
    if (flags_.runs("profile")) {
      profile("unet" + of, run(kernels));
    }
    context.setBenchmarkCuDNN(false);
  }

  void captured(Module& module, const std::vector<c10::IValue>& inputs, const std::string& of) {
    try {
      const at::Tensor expected = call(module, inputs).to(at::kFloat);
      at::Tensor output;
      const auto begun = Clock::now();
      animatediff::cuda::StepGraph graph(animatediff::cuda::graph_functions(), device_, nullptr,
                                         [&] { output = call(module, inputs); });
      synchronize();
      std::printf(R"({"name":"capture%s","ms":%.3f})"
                  "\n",
                  of.c_str(), std::chrono::duration<double, std::milli>(Clock::now() - begun).count());
      graph.replay();
      synchronize();
      compare("captured" + of, output, expected);
      time("unet captured" + of, [&] { graph.replay(); }, flags_.calls);
    } catch (const std::exception& error) {
      print_error("captured" + of, error);
    }
  }

  void vae() {
    Module source = load("vae_decoder");
    at::manual_seed(6);
    fill(source, device_);
    const at::ScalarType type = flags_.type();
    source.to(type);
    Module kernels = specialised(source, "vae_decoder", type, true);
    const int64_t side = flags_.size / 8;
    auto& context = at::globalContext();
    const auto all_frames = [&](Module& module, int64_t chunk) {
      return [this, &module, chunk, side, type] {
        at::manual_seed(9);
        const std::vector<c10::IValue> inputs{at::randn({chunk, 4, side, side}, options(type))};
        for (int64_t done = 0; done < flags_.frames; done += chunk) call(module, inputs);
      };
    };
    const std::string of = " " + std::to_string(flags_.frames) + "x" + std::to_string(flags_.size) + " by ";
    time("vae plain" + of + "4", all_frames(source, 4), 3);
    for (const bool benchmark : {false, true}) {
      context.setBenchmarkCuDNN(benchmark);
      for (const int64_t chunk : {1, 2, 4, 8, 16}) {
        if (chunk <= flags_.frames)
          time(std::string("vae kernels") + (benchmark ? ", cudnn.benchmark" : "") + of + std::to_string(chunk),
               all_frames(kernels, chunk), 3);
      }
    }
    if (flags_.runs("profile")) profile("vae" + of + "4", all_frames(kernels, std::min<int64_t>(4, flags_.frames)));
    context.setBenchmarkCuDNN(false);
  }

  Flags flags_;
  c10::Device device_;
};

}  // namespace

int main(int count, char** values) {
  const c10::InferenceMode inference;
  try {
    Bench(read_flags(count, values)).run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "network_bench: %s\n", error.what());
    return 1;
  }
}
