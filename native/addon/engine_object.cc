#include "engine_object.h"

#include <string>
#include <utility>

#include "convert.h"

namespace addon {

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(
      env, "Engine",
      {InstanceMethod("bind", &EngineObject::bind), InstanceMethod("rebind", &EngineObject::rebind),
       InstanceMethod("bake", &EngineObject::bake), InstanceMethod("generate", &EngineObject::generate),
       InstanceMethod("forward", &EngineObject::forward), InstanceMethod("memory", &EngineObject::memory),
       InstanceMethod("cancel", &EngineObject::cancel), InstanceMethod("close", &EngineObject::close)});
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info), api_(engine_api()) {
  if (api_ == nullptr) throw Napi::Error::New(info.Env(), "The engine library is not open.");
  const ad_engine_options options = read_engine_options(info[0].As<Napi::Object>());
  ad_error error{};
  const ad_status status = api_->engine_create(&options, &engine_, &error);
  if (status != AD_OK) throw make_error(info.Env(), status, error);
  thread_ = std::make_unique<JobThread>(info.Env());
  // A worker that ends, or a process that exits, first ends the call that is running.
  napi_add_env_cleanup_hook(info.Env(), &EngineObject::on_environment_end, this);
}

EngineObject::~EngineObject() {
  if (!thread_) return;
  napi_remove_env_cleanup_hook(Env(), &EngineObject::on_environment_end, this);
  shut_down();
  account_memory(Env(), 0);
}

void EngineObject::on_environment_end(void* self) { static_cast<EngineObject*>(self)->shut_down(); }

void EngineObject::shut_down() {
  if (thread_) thread_->stop();
  if (engine_ != nullptr) api_->engine_destroy(std::exchange(engine_, nullptr));
}

int64_t EngineObject::weight_bytes() const {
  ad_memory memory{};
  if (engine_ == nullptr || api_->engine_memory(engine_, &memory, nullptr) != AD_OK) return 0;
  return static_cast<int64_t>(memory.weights);
}

void EngineObject::account_memory(Napi::Env env, int64_t held) {
  Napi::MemoryManagement::AdjustExternalMemory(env, held - accounted_);
  accounted_ = held;
}

Napi::Value EngineObject::enqueue(const Napi::CallbackInfo& info, std::unique_ptr<Job> job, size_t first_callback) {
  if (closed_) {
    job->deferred.Reject(make_error(info.Env(), AD_ENGINE_ERROR, {"The engine was closed.", ""}).Value());
    return job->deferred.Promise();
  }
  const Napi::Value progress = info[first_callback];
  const Napi::Value notice = info[first_callback + 1];
  if (progress.IsFunction()) job->progress = Napi::Persistent(progress.As<Napi::Function>());
  if (notice.IsFunction()) job->notice = Napi::Persistent(notice.As<Napi::Function>());
  Ref();
  auto then = std::move(job->finished);
  job->finished = [this, then = std::move(then)](Napi::Env env) {
    if (then) then(env);
    Unref();
  };
  return thread_->submit(info.Env(), std::move(job));
}

Napi::Value EngineObject::submit(const Napi::CallbackInfo& info, Run run, size_t first_callback) {
  auto job = std::make_unique<Job>(info.Env());
  auto held = std::make_shared<int64_t>(0);
  job->run = [this, run = std::move(run), held](const ad_callbacks& callbacks, ad_error* error) {
    const ad_status status = run(callbacks, error);
    *held = weight_bytes();
    return status;
  };
  job->finished = [this, held](Napi::Env env) { account_memory(env, *held); };
  return enqueue(info, std::move(job), first_callback);
}

Napi::Value EngineObject::submit_call(const Napi::CallbackInfo& info, Call call, size_t first_callback) {
  auto job = std::make_unique<Job>(info.Env());
  auto result = std::make_shared<ad_result*>(nullptr);
  job->run = [call = std::move(call), result](const ad_callbacks& callbacks, ad_error* error) {
    return call(callbacks, result.get(), error);
  };
  job->value = [this, result](Napi::Env env) { return take_result(env, *api_, *result); };
  return enqueue(info, std::move(job), first_callback);
}

// bind(role, graphPath, recipes, onProgress, onNotice)
Napi::Value EngineObject::bind(const Napi::CallbackInfo& info) {
  const auto role = static_cast<ad_role>(info[0].ToNumber().Int32Value());
  auto plan = std::make_shared<PlanStorage>();
  read_plan(info[2].As<Napi::Array>(), *plan);
  return submit(
      info,
      [this, role, graph = info[1].ToString().Utf8Value(), plan](const ad_callbacks& callbacks, ad_error* error) {
        return api_->engine_bind(engine_, role, graph.c_str(), plan->recipes.data(), plan->recipes.size(), &callbacks,
                                 error);
      },
      3);
}

// rebind(role, recipes, onProgress, onNotice)
Napi::Value EngineObject::rebind(const Napi::CallbackInfo& info) {
  const auto role = static_cast<ad_role>(info[0].ToNumber().Int32Value());
  auto plan = std::make_shared<PlanStorage>();
  read_plan(info[1].As<Napi::Array>(), *plan);
  return submit(
      info,
      [this, role, plan](const ad_callbacks& callbacks, ad_error* error) {
        return api_->engine_rebind(engine_, role, plan->recipes.data(), plan->recipes.size(), &callbacks, error);
      },
      2);
}

// bake(path, metadata)
Napi::Value EngineObject::bake(const Napi::CallbackInfo& info) {
  return submit(
      info,
      [this, path = info[0].ToString().Utf8Value(), metadata = info[1].ToString().Utf8Value()](const ad_callbacks&,
                                                                                               ad_error* error) {
        return api_->engine_bake(engine_, path.c_str(), metadata.c_str(), error);
      },
      2);
}

// generate(request, onProgress, onNotice)
Napi::Value EngineObject::generate(const Napi::CallbackInfo& info) {
  auto storage = std::make_shared<RequestStorage>();
  read_request(info[0].As<Napi::Object>(), *storage);
  return submit_call(
      info,
      [this, storage](const ad_callbacks& callbacks, ad_result** result, ad_error* error) {
        return api_->engine_generate(engine_, &storage->request, &callbacks, result, error);
      },
      1);
}

// forward(role, tensors, integers)
Napi::Value EngineObject::forward(const Napi::CallbackInfo& info) {
  const auto role = static_cast<ad_role>(info[0].ToNumber().Int32Value());
  auto storage = std::make_shared<TensorStorage>();
  read_tensors(info[1].As<Napi::Array>(), *storage);
  return submit_call(
      info,
      [this, role, storage, integers = read_integers(info[2])](const ad_callbacks&, ad_result** result,
                                                               ad_error* error) {
        return api_->engine_forward(engine_, role, storage->tensors.data(), storage->tensors.size(), integers.data(),
                                    integers.size(), result, error);
      },
      3);
}

// memory()
Napi::Value EngineObject::memory(const Napi::CallbackInfo& info) {
  auto job = std::make_unique<Job>(info.Env());
  auto memory = std::make_shared<ad_memory>();
  job->run = [this, memory](const ad_callbacks&, ad_error* error) {
    return api_->engine_memory(engine_, memory.get(), error);
  };
  job->value = [memory](Napi::Env env) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("weights", static_cast<double>(memory->weights));
    object.Set("devicePeak", static_cast<double>(memory->device_peak));
    object.Set("hostPeak", static_cast<double>(memory->host_peak));
    object.Set("deviceHeld", static_cast<double>(memory->device_held));
    object.Set("hostHeld", static_cast<double>(memory->host_held));
    object.Set("rowsAtOnce", memory->rows_at_once);
    object.Set("rows", memory->rows);
    object.Set("framesDecoded", memory->frames_decoded);
    object.Set("offload", static_cast<int>(memory->offload));
    return object;
  };
  return enqueue(info, std::move(job), 0);
}

Napi::Value EngineObject::cancel(const Napi::CallbackInfo& info) {
  thread_->cancel();
  return info.Env().Undefined();
}

// close(): frees the networks once the calls before it are done
Napi::Value EngineObject::close(const Napi::CallbackInfo& info) {
  auto job = std::make_unique<Job>(info.Env());
  job->run = [this](const ad_callbacks&, ad_error*) {
    api_->engine_destroy(std::exchange(engine_, nullptr));
    return AD_OK;
  };
  job->finished = [this](Napi::Env env) {
    account_memory(env, 0);
    thread_->stop();
  };
  const Napi::Value promise = enqueue(info, std::move(job), 0);
  closed_ = true;
  return promise;
}

}  // namespace addon
