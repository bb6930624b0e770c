// What `require` of the addon returns: open the engine, list devices, make engines. See lib/native.ts.

#include <napi.h>

#include <vector>

#include "convert.h"
#include "engine_object.h"
#include "library.h"

namespace addon {
namespace {

const EngineApi& opened(Napi::Env env) {
  const EngineApi* api = engine_api();
  if (api == nullptr) throw Napi::Error::New(env, "The engine library is not open.");
  return *api;
}

// open(libraries, engine): undefined, or a sentence saying what failed
Napi::Value open(const Napi::CallbackInfo& info) {
  const auto array = info[0].As<Napi::Array>();
  std::vector<std::string> libraries;
  for (uint32_t i = 0; i < array.Length(); ++i) libraries.push_back(array.Get(i).ToString().Utf8Value());
  const auto failure = open_engine(libraries, info[1].ToString().Utf8Value());
  if (failure.has_value()) return Napi::String::New(info.Env(), *failure);
  return info.Env().Undefined();
}

// devices(): [{ kind, index, name, totalBytes, freeBytes }]
Napi::Value devices(const Napi::CallbackInfo& info) {
  const EngineApi& api = opened(info.Env());
  std::vector<ad_device_info> found(api.devices(nullptr, 0));
  found.resize(std::min(found.size(), api.devices(found.data(), found.size())));
  Napi::Array list = Napi::Array::New(info.Env(), found.size());
  for (uint32_t i = 0; i < found.size(); ++i) {
    Napi::Object device = Napi::Object::New(info.Env());
    device.Set("kind", found[i].kind == AD_CUDA ? "cuda" : "cpu");
    device.Set("index", found[i].index);
    device.Set("name", static_cast<const char*>(found[i].name));
    device.Set("totalBytes", static_cast<double>(found[i].total_bytes));
    device.Set("freeBytes", static_cast<double>(found[i].free_bytes));
    list.Set(i, device);
  }
  return list;
}

// opened(): paths of the libraries that are open in this process, [] before
Napi::Value opened_paths(const Napi::CallbackInfo& info) {
  const auto libraries = opened_libraries();
  Napi::Array paths = Napi::Array::New(info.Env(), libraries.size());
  for (uint32_t i = 0; i < libraries.size(); ++i) paths.Set(i, libraries[i]);
  return paths;
}

Napi::Value cpu_multiplies_bfloat16(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), opened(info.Env()).cpu_multiplies_bfloat16() != 0);
}

Napi::Value cuda_device_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), opened(info.Env()).cuda_device_count());
}

// cudaKernelsProblem(index): why this package's own kernels do not run on that device; '' if they do
Napi::Value cuda_kernels_problem(const Napi::CallbackInfo& info) {
  const int32_t index = info[0].As<Napi::Number>().Int32Value();
  return Napi::String::New(info.Env(), opened(info.Env()).cuda_kernels_problem(index));
}

Napi::Value cpu_capability(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), opened(info.Env()).cpu_capability());
}

// countWork(enabled): what was counted so far
Napi::Value count_work(const Napi::CallbackInfo& info) {
  ad_work counted{};
  ad_error error{};
  const ad_status status = opened(info.Env()).count_work(info[0].ToBoolean() ? 1 : 0, &counted, &error);
  if (status != AD_OK) throw make_error(info.Env(), status, error);
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("operators", static_cast<double>(counted.operators));
  object.Set("allocations", static_cast<double>(counted.allocations));
  object.Set("bytes", static_cast<double>(counted.bytes));
  return object;
}

// limitHostMemory(bytes)
Napi::Value limit_host_memory(const Napi::CallbackInfo& info) {
  opened(info.Env()).limit_host_memory(static_cast<uint64_t>(info[0].ToNumber().Int64Value()));
  return info.Env().Undefined();
}

Napi::Value settle(Napi::Env env, ad_status status, const ad_error& error, ad_result* result) {
  if (status == AD_OK) return take_result(env, opened(env), result);
  throw make_error(env, status, error);
}

// timesteps(scheduler): { timesteps: { shape, data } }
Napi::Value timesteps(const Napi::CallbackInfo& info) {
  const ad_scheduler scheduler = read_scheduler(info[0].As<Napi::Object>());
  ad_result* result = nullptr;
  ad_error error{};
  const ad_status status = opened(info.Env()).scheduler_timesteps(&scheduler, &result, &error);
  return settle(info.Env(), status, error, result);
}

// runScheduler(scheduler, [sample, outputs], seeds): { samples: { shape, data } }
Napi::Value run_scheduler(const Napi::CallbackInfo& info) {
  const ad_scheduler scheduler = read_scheduler(info[0].As<Napi::Object>());
  TensorStorage storage;
  read_tensors(info[1].As<Napi::Array>(), storage);
  const auto seeds = info[2].As<Napi::BigUint64Array>();
  ad_result* result = nullptr;
  ad_error error{};
  const ad_status status =
      opened(info.Env())
          .scheduler_run(&scheduler, &storage.tensors[0], &storage.tensors[1], seeds.Data(), &result, &error);
  return settle(info.Env(), status, error, result);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("libtorchVersion", ANIMATEDIFF_LIBTORCH_VERSION);
  exports.Set("open", Napi::Function::New(env, open));
  exports.Set("opened", Napi::Function::New(env, opened_paths));
  exports.Set("cpuMultipliesBfloat16", Napi::Function::New(env, cpu_multiplies_bfloat16));
  exports.Set("cudaDeviceCount", Napi::Function::New(env, cuda_device_count));
  exports.Set("cudaKernelsProblem", Napi::Function::New(env, cuda_kernels_problem));
  exports.Set("devices", Napi::Function::New(env, devices));
  exports.Set("cpuCapability", Napi::Function::New(env, cpu_capability));
  exports.Set("countWork", Napi::Function::New(env, count_work));
  exports.Set("limitHostMemory", Napi::Function::New(env, limit_host_memory));
  exports.Set("timesteps", Napi::Function::New(env, timesteps));
  exports.Set("runScheduler", Napi::Function::New(env, run_scheduler));
  exports.Set("Engine", EngineObject::define(env));
  return exports;
}

}  // namespace
}  // namespace addon

Napi::Object initialise_addon(Napi::Env env, Napi::Object exports) { return addon::initialise(env, exports); }

NODE_API_MODULE(animatediff_native, initialise_addon)
