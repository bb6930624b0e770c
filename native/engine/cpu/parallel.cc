#include "parallel.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>

namespace animatediff::cpu {
namespace {

// The interface of GNU's runtime, which LLVM's and Intel's have too.
struct OpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*thread_number)() = nullptr;
  int (*thread_count)() = nullptr;

  [[nodiscard]] bool complete() const {
    return parallel != nullptr && thread_number != nullptr && thread_count != nullptr;
  }
};

template <typename Function>
void find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(::dlsym(library, name));
}

OpenMp find_openmp() {
  // A handle of this very library searches what it depends on, however it was opened.
  Dl_info self{};
  void* library = nullptr;
  if (::dladdr(reinterpret_cast<void*>(&find_openmp), &self) != 0) {
    library = ::dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  }
  // A program that holds this code is its own handle.
  if (library == nullptr) library = ::dlopen(nullptr, RTLD_LAZY);
  OpenMp openmp;
  find(library, "GOMP_parallel", openmp.parallel);
  find(library, "omp_get_thread_num", openmp.thread_number);
  find(library, "omp_get_num_threads", openmp.thread_count);
  return openmp;
}

const OpenMp& openmp() {
  static const OpenMp found = find_openmp();
  return found;
}

struct Loop {
  int64_t begin;
  int64_t end;
  const std::function<void(int64_t, int64_t)>& work;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error;
};

// What each thread runs.
void run_part(void* data) {
  auto& loop = *static_cast<Loop*>(data);
  const int64_t number = openmp().thread_number();
  const int64_t count = openmp().thread_count();
  const int64_t each = (loop.end - loop.begin + count - 1) / count;
  const int64_t first = loop.begin + number * each;
  if (first >= loop.end) return;
  try {
    const at::internal::ThreadIdGuard guard(static_cast<int>(number));
    loop.work(first, std::min(loop.end, first + each));
  } catch (...) {
    if (!loop.failed.test_and_set()) loop.error = std::current_exception();
  }
}

}  // namespace

bool has_threads() { return openmp().complete(); }

void parallel_for(int64_t begin, int64_t end, int64_t grain, const std::function<void(int64_t, int64_t)>& work) {
  if (begin >= end) return;
  const int64_t parts = std::max<int64_t>(1, (end - begin) / std::max<int64_t>(1, grain));
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), parts);
  if (threads <= 1 || at::in_parallel_region() || !has_threads()) {
    work(begin, end);
    return;
  }
  Loop loop{begin, end, work, ATOMIC_FLAG_INIT, nullptr};
  openmp().parallel(run_part, &loop, static_cast<unsigned>(threads), 0);
  if (loop.error) std::rethrow_exception(loop.error);
}

}  // namespace animatediff::cpu
