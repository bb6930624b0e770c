#include "job_thread.h"

#include <cstring>
#include <string>
#include <vector>

#include "convert.h"

namespace addon {
namespace {

// A progress report on its way to JavaScript.
struct Report {
  ad_phase phase;
  double done;
  double total;
  std::vector<uint8_t> preview;
  std::vector<int64_t> shape;
};

Napi::Value preview_value(Napi::Env env, const Report& report) {
  if (report.preview.empty()) return env.Undefined();
  Napi::Object preview = Napi::Object::New(env);
  Napi::Uint8Array data = Napi::Uint8Array::New(env, report.preview.size());
  std::memcpy(data.Data(), report.preview.data(), report.preview.size());
  preview.Set("data", data);
  preview.Set("frames", static_cast<double>(report.shape[0]));
  preview.Set("height", static_cast<double>(report.shape[1]));
  preview.Set("width", static_cast<double>(report.shape[2]));
  return preview;
}

}  // namespace

JobThread::JobThread(Napi::Env env)
    : to_javascript_(Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}),
                                                   "animatediff-native", 0, 1)) {
  to_javascript_.Unref(env);
  thread_ = std::thread([this] { loop(); });
}

JobThread::~JobThread() { stop(); }

Napi::Promise JobThread::submit(Napi::Env env, std::unique_ptr<Job> job) {
  Napi::Promise promise = job->deferred.Promise();
  if (pending_++ == 0) to_javascript_.Ref(env);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
  return promise;
}

void JobThread::cancel() {
  const std::lock_guard lock(mutex_);
  cancel_locked();
}

void JobThread::cancel_locked() {
  if (running_ != nullptr) running_->cancelled = true;
  for (auto& job : queue_) job->cancelled = true;
}

void JobThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    cancel_locked();
    // Jobs hold JavaScript references; when they can no longer be settled they are left to the process.
    for (auto& job : queue_) static_cast<void>(job.release());
    queue_.clear();
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  to_javascript_.Release();
}

void JobThread::loop() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
      running_ = job.get();
    }
    execute(std::move(job));
  }
}

// Runs `body(env)` on the JavaScript thread; nothing happens when that thread has ended.
template <typename Body>
void JobThread::post(Body body) {
  to_javascript_.BlockingCall([body = std::move(body)](Napi::Env env, Napi::Function) { body(env); });
}

void JobThread::execute(std::unique_ptr<Job> job) {
  CallContext context{this, job.get()};
  const ad_callbacks callbacks{&context, job->progress.IsEmpty() ? nullptr : &JobThread::on_progress,
                               job->notice.IsEmpty() ? nullptr : &JobThread::on_notice, &JobThread::is_cancelled};
  job->status = job->run(callbacks, &job->error);
  {
    const std::lock_guard lock(mutex_);
    running_ = nullptr;
  }
  post([this, raw = job.release()](Napi::Env env) { settle(env, std::unique_ptr<Job>(raw)); });
}

void JobThread::on_progress(void* context, ad_phase phase, uint64_t done, uint64_t total, const ad_tensor* preview) {
  const auto* const call = static_cast<CallContext*>(context);
  auto report = std::make_shared<Report>(Report{phase, static_cast<double>(done), static_cast<double>(total), {}, {}});
  if (preview != nullptr) {
    report->shape.assign(preview->shape, preview->shape + preview->dims);
    size_t bytes = 1;
    for (const int64_t size : report->shape) bytes *= static_cast<size_t>(size);
    const auto* const data = static_cast<const uint8_t*>(preview->data);
    report->preview.assign(data, data + bytes);
  }
  call->thread->post([job = call->job, report](Napi::Env env) {
    const Napi::HandleScope scope(env);
    job->progress.Call({Napi::Number::New(env, report->phase), Napi::Number::New(env, report->done),
                        Napi::Number::New(env, report->total), preview_value(env, *report)});
  });
}

void JobThread::on_notice(void* context, const char* code, const char* message) {
  const auto* const call = static_cast<CallContext*>(context);
  call->thread->post([job = call->job, code = std::string(code), message = std::string(message)](Napi::Env env) {
    const Napi::HandleScope scope(env);
    job->notice.Call({Napi::String::New(env, code), Napi::String::New(env, message)});
  });
}

int32_t JobThread::is_cancelled(void* context) { return static_cast<CallContext*>(context)->job->cancelled ? 1 : 0; }

void JobThread::settle(Napi::Env env, std::unique_ptr<Job> job) {
  const Napi::HandleScope scope(env);
  if (--pending_ == 0) to_javascript_.Unref(env);
  try {
    if (job->status == AD_OK) {
      job->deferred.Resolve(job->value ? job->value(env) : env.Undefined());
    } else {
      job->deferred.Reject(make_error(env, job->status, job->error).Value());
    }
  } catch (const Napi::Error& problem) {
    job->deferred.Reject(problem.Value());
  }
  // Last, since it may release the object that owns this thread.
  if (job->finished) job->finished(env);
}

}  // namespace addon
