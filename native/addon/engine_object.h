// The JavaScript class around one engine and its thread.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "job_thread.h"
#include "library.h"

namespace addon {

/** Methods return promises that settle in the order of the calls; see lib/native.ts for their types. */
class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

 private:
  using Run = std::function<ad_status(const ad_callbacks&, ad_error*)>;
  using Call = std::function<ad_status(const ad_callbacks&, ad_result**, ad_error*)>;

  Napi::Value bind(const Napi::CallbackInfo& info);
  Napi::Value rebind(const Napi::CallbackInfo& info);
  Napi::Value bake(const Napi::CallbackInfo& info);
  Napi::Value generate(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  /** Callbacks are the arguments from `first_callback` on: progress, then notices. */
  Napi::Value submit(const Napi::CallbackInfo& info, Run run, size_t first_callback);
  Napi::Value submit_call(const Napi::CallbackInfo& info, Call call, size_t first_callback);
  Napi::Value enqueue(const Napi::CallbackInfo& info, std::unique_ptr<Job> job, size_t first_callback);
  /** Bytes of the weights; on the engine's thread. */
  [[nodiscard]] int64_t weight_bytes() const;
  /** Tells V8 how much memory the object holds outside of its heap. */
  void account_memory(Napi::Env env, int64_t held);
  void shut_down();
  static void on_environment_end(void* self);

  const EngineApi* api_;
  ad_engine* engine_ = nullptr;
  int64_t accounted_ = 0;
  /** Set with the close job: nothing may follow it. */
  bool closed_ = false;
  std::unique_ptr<JobThread> thread_;
};

}  // namespace addon
