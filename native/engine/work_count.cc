#include "work_count.h"

#include <ATen/record_function.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

namespace animatediff {
namespace {

std::atomic<bool> counting{false};
std::atomic<uint64_t> operators{0};
std::atomic<uint64_t> allocations{0};
std::atomic<uint64_t> allocated{0};

std::unique_ptr<at::ObserverContext> count_operator(const at::RecordFunction& /*function*/) {
  operators.fetch_add(1, std::memory_order_relaxed);
  return nullptr;
}

}  // namespace

WorkCount count_work(bool enabled) {
  static std::mutex mutex;
  static std::optional<at::CallbackHandle> observer;
  const std::lock_guard lock(mutex);
  if (enabled && !observer.has_value()) {
    observer = at::addGlobalCallback(at::RecordFunctionCallback(&count_operator).scopes({at::RecordScope::FUNCTION}));
  } else if (!enabled && observer.has_value()) {
    at::removeCallback(*observer);
    observer.reset();
  }
  counting = enabled;
  return {operators.exchange(0), allocations.exchange(0), allocated.exchange(0)};
}

void count_allocation(size_t bytes) noexcept {
  if (!counting.load(std::memory_order_relaxed)) return;
  allocations.fetch_add(1, std::memory_order_relaxed);
  allocated.fetch_add(bytes, std::memory_order_relaxed);
}

}  // namespace animatediff
