// The C interface: argument checks, exceptions to error records, nothing else.

#include <ATen/Version.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "animatediff.h"
#include "cuda/library.h"
#include "device.h"
#include "dtype.h"
#include "engine.h"
#include "error.h"
#include "host_memory.h"
#include "kernels/kernels.h"
#include "memory/exhaustion.h"
#include "sampler/noise.h"
#include "schedulers/scheduler.h"
#include "tensor_view.h"
#include "work_count.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

struct ad_engine {
  explicit ad_engine(const ad_engine_options& options) : engine(options) {}
  animatediff::Engine engine;
};

namespace {

using animatediff::Callbacks;
using animatediff::EngineError;

template <size_t Size>
void copy_text(char (&target)[Size], const std::string& text) {
  const size_t length = std::min(text.size(), Size - 1);
  std::memcpy(target, text.data(), length);
  target[length] = '\0';
}

ad_status fail(ad_error* error, ad_status status, const std::string& message, const std::string& detail = "") {
  if (error != nullptr) {
    copy_text(error->message, message);
    copy_text(error->detail, detail);
  }
  return status;
}

ad_status fail_by_text(ad_error* error, const std::string& message, const std::string& detail) {
  return fail(error, animatediff::means_exhaustion(message) ? AD_OUT_OF_MEMORY : AD_ENGINE_ERROR, message, detail);
}

animatediff::Engine& opened(ad_engine* engine) {
  if (engine == nullptr) throw EngineError(AD_ENGINE_ERROR, "The engine was closed.");
  return engine->engine;
}

template <typename Body>
ad_status guarded(ad_error* error, Body&& body) noexcept {
  try {
    body();
    return AD_OK;
  } catch (const EngineError& problem) {
    return fail(error, problem.status(), problem.what(), problem.detail());
  } catch (const c10::OutOfMemoryError& problem) {
    return fail(error, AD_OUT_OF_MEMORY, problem.what_without_backtrace(), problem.what());
  } catch (const c10::Error& problem) {
    return fail_by_text(error, problem.what_without_backtrace(), problem.what());
  } catch (const std::bad_alloc&) {
    return fail(error, AD_OUT_OF_MEMORY, "Not enough memory.");
  } catch (const std::exception& problem) {
    return fail_by_text(error, problem.what(), "");
  } catch (...) {
    return fail(error, AD_ENGINE_ERROR, "An unknown exception was thrown.");
  }
}

}  // namespace

int32_t ad_abi_version(void) { return AD_ABI_VERSION; }

const char* ad_libtorch_version(void) { return ANIMATEDIFF_LIBTORCH_VERSION; }

const char* ad_cpu_capability(void) {
  static const std::string* const capability = new std::string(at::get_cpu_capability());
  return capability->c_str();
}

ad_status ad_count_work(int32_t enabled, ad_work* counted, ad_error* error) {
  return guarded(error, [&] {
    const auto [operators, allocations, bytes] = animatediff::count_work(enabled != 0);
    *counted = {operators, allocations, bytes};
  });
}

size_t ad_devices(ad_device_info* devices, size_t capacity) {
  size_t count = 0;
  guarded(nullptr, [&] {
    const auto found = animatediff::list_devices();
    count = found.size();
    std::copy_n(found.begin(), std::min(count, capacity), devices);
  });
  return count;
}

int32_t ad_cpu_multiplies_bfloat16(void) { return animatediff::kernel_set().multiplies_bfloat16 ? 1 : 0; }

int32_t ad_cuda_device_count(void) {
  int32_t count = 0;
  guarded(nullptr, [&] { count = static_cast<int32_t>(animatediff::cuda_device_count()); });
  return count;
}

void ad_limit_host_memory(uint64_t bytes) { animatediff::limit_host_memory(bytes); }

const char* ad_cuda_kernels_problem(int32_t index) {
  const char* problem = "the question failed";
  guarded(nullptr, [&] {
    const c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
    problem = animatediff::cuda::kernels_problem(device).c_str();
  });
  return problem;
}

ad_status ad_engine_create(const ad_engine_options* options, ad_engine** engine, ad_error* error) {
  return guarded(error, [&] { *engine = std::make_unique<ad_engine>(*options).release(); });
}

void ad_engine_destroy(ad_engine* engine) { delete engine; }

ad_status ad_engine_bind(ad_engine* engine, ad_role role, const char* graph, const ad_recipe* recipes, size_t count,
                         const ad_callbacks* callbacks, ad_error* error) {
  return guarded(error, [&] {
    opened(engine).enter();
    opened(engine).bind(role, graph, {recipes, count}, Callbacks(callbacks));
  });
}

ad_status ad_engine_rebind(ad_engine* engine, ad_role role, const ad_recipe* recipes, size_t count,
                           const ad_callbacks* callbacks, ad_error* error) {
  return guarded(error, [&] {
    opened(engine).enter();
    opened(engine).rebind(role, {recipes, count}, Callbacks(callbacks));
  });
}

ad_status ad_engine_bake(ad_engine* engine, const char* path, const char* metadata, ad_error* error) {
  return guarded(error, [&] { opened(engine).bake(path, metadata); });
}

ad_status ad_engine_generate(ad_engine* engine, const ad_request* request, const ad_callbacks* callbacks,
                             ad_result** result, ad_error* error) {
  return guarded(error, [&] {
    opened(engine).enter();
    *result = opened(engine).generate(*request, Callbacks(callbacks)).release();
  });
}

ad_status ad_engine_forward(ad_engine* engine, ad_role role, const ad_tensor* inputs, size_t count,
                            const int64_t* integers, size_t integer_count, ad_result** result, ad_error* error) {
  return guarded(error, [&] {
    opened(engine).enter();
    *result = opened(engine).forward(role, {inputs, count}, {integers, integer_count}).release();
  });
}

ad_status ad_engine_memory(ad_engine* engine, ad_memory* memory, ad_error* error) {
  return guarded(error, [&] { *memory = opened(engine).memory(); });
}

ad_status ad_scheduler_timesteps(const ad_scheduler* scheduler, ad_result** result, ad_error* error) {
  return guarded(error, [&] {
    auto timesteps = std::make_unique<ad_result>();
    timesteps->add("timesteps", at::tensor(animatediff::make_scheduler(*scheduler)->timesteps(), at::kFloat));
    *result = timesteps.release();
  });
}

ad_status ad_scheduler_run(const ad_scheduler* scheduler, const ad_tensor* sample, const ad_tensor* outputs,
                           const uint64_t* seeds, ad_result** result, ad_error* error) {
  return guarded(error, [&] {
    const auto sampler = animatediff::make_scheduler(*scheduler);
    at::Tensor current = animatediff::view_tensor(*sample) * sampler->init_noise_sigma();
    const at::Tensor given = animatediff::view_tensor(*outputs);
    if (given.dim() != current.dim() + 1 || given.size(0) != static_cast<int64_t>(sampler->timesteps().size())) {
      throw EngineError(AD_INVALID_ARGUMENT, "Expected one network output for each of the timesteps.");
    }
    std::vector<at::Generator> generators;
    for (int64_t i = 0; i < current.size(0); ++i) generators.push_back(animatediff::cpu_generator(seeds[i]));
    std::vector<at::Tensor> inputs;
    std::vector<at::Tensor> samples;
    for (size_t step = 0; step < sampler->timesteps().size(); ++step) {
      inputs.push_back(sampler->scale_model_input(step, current));
      current = sampler->step(step, given[static_cast<int64_t>(step)], current, generators);
      samples.push_back(current);
    }
    auto run = std::make_unique<ad_result>();
    run->add("samples", at::stack(samples));
    run->add("inputs", at::stack(inputs));
    *result = run.release();
  });
}

size_t ad_result_count(const ad_result* result) { return result->tensors.size(); }

const char* ad_result_name(const ad_result* result, size_t index) { return result->tensors[index].first.c_str(); }

ad_tensor ad_result_tensor(const ad_result* result, size_t index) {
  const at::Tensor& tensor = result->tensors[index].second;
  return {tensor.const_data_ptr(), animatediff::interface_type(tensor.scalar_type()), tensor.sizes().data(),
          static_cast<int32_t>(tensor.dim())};
}

void ad_result_free(ad_result* result) { delete result; }
