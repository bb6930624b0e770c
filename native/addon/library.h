// The engine library, opened by absolute path after LibTorch, once per process and never closed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "../engine/animatediff.h"

namespace addon {

/** The C interface as function pointers; this file links neither LibTorch nor the engine. */
struct EngineApi {
  decltype(&ad_abi_version) abi_version;
  decltype(&ad_libtorch_version) libtorch_version;
  decltype(&ad_cpu_capability) cpu_capability;
  decltype(&ad_count_work) count_work;
  decltype(&ad_devices) devices;
  decltype(&ad_cuda_device_count) cuda_device_count;
  decltype(&ad_cuda_kernels_problem) cuda_kernels_problem;
  decltype(&ad_cpu_multiplies_bfloat16) cpu_multiplies_bfloat16;
  decltype(&ad_limit_host_memory) limit_host_memory;
  decltype(&ad_engine_create) engine_create;
  decltype(&ad_engine_destroy) engine_destroy;
  decltype(&ad_engine_bind) engine_bind;
  decltype(&ad_engine_rebind) engine_rebind;
  decltype(&ad_engine_bake) engine_bake;
  decltype(&ad_engine_generate) engine_generate;
  decltype(&ad_engine_forward) engine_forward;
  decltype(&ad_engine_memory) engine_memory;
  decltype(&ad_scheduler_timesteps) scheduler_timesteps;
  decltype(&ad_scheduler_run) scheduler_run;
  decltype(&ad_result_count) result_count;
  decltype(&ad_result_name) result_name;
  decltype(&ad_result_tensor) result_tensor;
  decltype(&ad_result_free) result_free;
};

/**
 * Opens `libraries` (libc10 first) in order with global symbols, then the engine. Returns an error sentence, or nothing
 * on success. A process holds one LibTorch: later calls for the same one do nothing, also when they name fewer or more
 * of its libraries; another one is refused, and so is every call after a failure.
 */
std::optional<std::string> open_engine(const std::vector<std::string>& libraries, const std::string& engine);

/** Libraries that were opened, in order; empty before. */
std::vector<std::string> opened_libraries();

/** The opened engine, or null. */
const EngineApi* engine_api();

}  // namespace addon
