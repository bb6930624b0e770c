#include "library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>

namespace addon {
namespace {

struct Process {
  std::mutex mutex;
  std::vector<std::string> libraries;
  std::string engine;
  std::optional<EngineApi> api;
  std::optional<std::string> failure;
};

// Shared by every environment (worker threads) of the process; never destroyed.
Process& process() {
  static auto* const instance = new Process();
  return *instance;
}

std::string last_error() {
  const char* text = ::dlerror();
  return text != nullptr ? text : "unknown reason";
}

/**
 * While this lives, a GNU OpenMP runtime that is opened learns that its threads shall spin at barriers for some 60
 * microseconds, then sleep: its default is milliseconds, which is three to four times slower with other work on the
 * machine, and to sleep at once costs small models a quarter (bench/NOTES.md). What the user set is respected.
 */
class WithBriefSpinning {
 public:
  WithBriefSpinning() : active_(::getenv("OMP_WAIT_POLICY") == nullptr && ::getenv(kVariable) == nullptr) {
    if (active_) ::setenv(kVariable, "3000", 0);
  }
  WithBriefSpinning(const WithBriefSpinning&) = delete;
  WithBriefSpinning& operator=(const WithBriefSpinning&) = delete;
  ~WithBriefSpinning() {
    if (active_) ::unsetenv(kVariable);
  }

 private:
  static constexpr const char* kVariable = "GOMP_SPINCOUNT";
  bool active_;
};

template <typename Function>
bool resolve(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  return function != nullptr;
}

bool resolve_all(void* handle, EngineApi& api) {
  return resolve(handle, "ad_abi_version", api.abi_version) &&
         resolve(handle, "ad_libtorch_version", api.libtorch_version) &&
         resolve(handle, "ad_cpu_capability", api.cpu_capability) && resolve(handle, "ad_devices", api.devices) &&
         resolve(handle, "ad_cuda_device_count", api.cuda_device_count) &&
         resolve(handle, "ad_cuda_kernels_problem", api.cuda_kernels_problem) &&
         resolve(handle, "ad_cpu_multiplies_bfloat16", api.cpu_multiplies_bfloat16) &&
         resolve(handle, "ad_count_work", api.count_work) &&
         resolve(handle, "ad_limit_host_memory", api.limit_host_memory) &&
         resolve(handle, "ad_engine_create", api.engine_create) &&
         resolve(handle, "ad_engine_destroy", api.engine_destroy) &&
         resolve(handle, "ad_engine_bind", api.engine_bind) && resolve(handle, "ad_engine_rebind", api.engine_rebind) &&
         resolve(handle, "ad_engine_bake", api.engine_bake) &&
         resolve(handle, "ad_engine_generate", api.engine_generate) &&
         resolve(handle, "ad_engine_forward", api.engine_forward) &&
         resolve(handle, "ad_engine_memory", api.engine_memory) &&
         resolve(handle, "ad_scheduler_timesteps", api.scheduler_timesteps) &&
         resolve(handle, "ad_scheduler_run", api.scheduler_run) &&
         resolve(handle, "ad_result_count", api.result_count) && resolve(handle, "ad_result_name", api.result_name) &&
         resolve(handle, "ad_result_tensor", api.result_tensor) && resolve(handle, "ad_result_free", api.result_free);
}

std::optional<std::string> open_first(const std::vector<std::string>& libraries, const std::string& engine,
                                      Process& state) {
  const WithBriefSpinning spinning;
  for (const std::string& library : libraries) {
    if (::dlopen(library.c_str(), RTLD_LAZY | RTLD_GLOBAL) == nullptr) return last_error();
  }
  void* handle = ::dlopen(engine.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return last_error();
  EngineApi api{};
  if (!resolve_all(handle, api) || api.abi_version() != AD_ABI_VERSION) {
    return engine + " belongs to another version of animatediff-native; rebuild or reinstall the package";
  }
  state.libraries = libraries;
  state.engine = engine;
  state.api = api;
  return std::nullopt;
}

}  // namespace

std::optional<std::string> open_engine(const std::vector<std::string>& libraries, const std::string& engine) {
  Process& state = process();
  const std::lock_guard lock(state.mutex);
  if (state.failure.has_value()) return state.failure;
  if (!state.api.has_value()) {
    // Half-opened libraries stay in the process, so that a second attempt with others would mix the two.
    state.failure = open_first(libraries, engine, state);
    return state.failure;
  }
  if (state.engine == engine && state.libraries.front() == libraries.front()) return std::nullopt;
  return "another LibTorch is open in this process already (" + state.libraries.front() +
         "); a process can use one, chosen by the first call";
}

std::vector<std::string> opened_libraries() {
  Process& state = process();
  const std::lock_guard lock(state.mutex);
  return state.api.has_value() ? state.libraries : std::vector<std::string>{};
}

const EngineApi* engine_api() {
  Process& state = process();
  const std::lock_guard lock(state.mutex);
  return state.api.has_value() ? &*state.api : nullptr;
}

}  // namespace addon
