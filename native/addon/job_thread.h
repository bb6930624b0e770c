// One thread that runs an engine's calls in order, and the way back to JavaScript.
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "../engine/animatediff.h"

namespace addon {

/** A call on the engine's thread and the promise that it settles. */
struct Job {
  explicit Job(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}

  /** Runs on the engine's thread. */
  std::function<ad_status(const ad_callbacks&, ad_error*)> run;
  /** Makes the value of the promise, on the JavaScript thread. */
  std::function<Napi::Value(Napi::Env)> value;
  /** Runs on the JavaScript thread, last: it may release the object that owns the thread. */
  std::function<void(Napi::Env)> finished;
  Napi::Promise::Deferred deferred;
  /** (phase, done, total, preview?) and (code, message); each may be empty. */
  Napi::FunctionReference progress;
  Napi::FunctionReference notice;
  std::atomic<bool> cancelled = false;
  ad_status status = AD_OK;
  ad_error error{};
};

class JobThread {
 public:
  explicit JobThread(Napi::Env env);
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;
  ~JobThread();

  /** Queues a job; the process stays alive until it is settled. */
  Napi::Promise submit(Napi::Env env, std::unique_ptr<Job> job);

  /** Asks the running job and those that wait to end with AD_ABORTED. */
  void cancel();

  /** Cancels, drops what is queued and waits for the thread to end. */
  void stop();

 private:
  struct CallContext {
    JobThread* thread;
    Job* job;
  };

  void loop();
  void execute(std::unique_ptr<Job> job);
  void cancel_locked();
  template <typename Body>
  void post(Body body);
  static void on_progress(void* context, ad_phase phase, uint64_t done, uint64_t total, const ad_tensor* preview);
  static void on_notice(void* context, const char* code, const char* message);
  static int32_t is_cancelled(void* context);
  void settle(Napi::Env env, std::unique_ptr<Job> job);

  Napi::ThreadSafeFunction to_javascript_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> queue_;
  Job* running_ = nullptr;
  bool stopping_ = false;
  size_t pending_ = 0;
  std::thread thread_;
};

}  // namespace addon
