#include "host_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "work_count.h"

namespace animatediff {
namespace {

// Below this, malloc keeps what it has and is as fast.
constexpr size_t kSmallest = size_t{256} << 10;
constexpr size_t kPage = 4096;
// Addresses, not memory; halved until the system grants them.
constexpr size_t kReservation = size_t{1} << 42;
constexpr size_t kLeastReservation = size_t{1} << 34;
// Pages are made usable in steps of this size.
constexpr size_t kGrowth = size_t{32} << 20;

// Of all blocks together; an engine that runs out of it meets what it meets where the system has no more.
std::atomic<size_t> limit = std::numeric_limits<size_t>::max();

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

class Arena {
 public:
  Arena() {
    for (reserved_ = kReservation; reserved_ >= kLeastReservation; reserved_ /= 2) {
      void* const address = ::mmap(nullptr, reserved_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (address != MAP_FAILED) {
        base_ = static_cast<char*>(address);
        // A hint, for systems that ask for it: bench/NOTES.md.
        ::madvise(address, reserved_, MADV_HUGEPAGE);
        return;
      }
    }
    reserved_ = 0;
  }

  [[nodiscard]] bool owns(const void* pointer) const {
    return pointer >= base_ && pointer < base_ + reserved_ && base_ != nullptr;
  }

  /** Null when the reservation is used up or the system refuses memory. */
  void* take(size_t bytes) {
    const size_t size = round_up(bytes, kPage);
    const std::lock_guard lock(mutex_);
    auto best = by_size_.lower_bound({size, nullptr});
    if (best == by_size_.end()) {
      if (!grow(size)) return nullptr;
      best = by_size_.lower_bound({size, nullptr});
    }
    const auto [available, block] = *best;
    forget(block, available);
    if (available > size) remember(block + size, available - size);
    used_.emplace(block, size);
    memory_.live += size;
    memory_.peak = std::max(memory_.peak, memory_.live);
    return block;
  }

  void give_back(void* pointer) {
    const std::lock_guard lock(mutex_);
    const auto used = used_.find(static_cast<char*>(pointer));
    if (used == used_.end()) return;
    char* block = used->first;
    size_t size = used->second;
    used_.erase(used);
    memory_.live -= size;
    const auto next = free_.lower_bound(block);
    if (next != free_.end() && next->first == block + size) {
      const auto [neighbour, extra] = *next;
      forget(neighbour, extra);
      size += extra;
    }
    const auto after = free_.lower_bound(block);
    if (after != free_.begin()) {
      const auto [neighbour, extra] = *std::prev(after);
      if (neighbour + extra == block) {
        forget(neighbour, extra);
        block = neighbour;
        size += extra;
      }
    }
    remember(block, size);
  }

  void release_free() {
    const std::lock_guard lock(mutex_);
    for (const auto& [block, size] : free_) ::madvise(block, size, MADV_DONTNEED);
  }

  HostMemory memory() {
    const std::lock_guard lock(mutex_);
    return memory_;
  }

 private:
  // Makes a free block of at least `size` bytes at the end, together with what is free there already.
  bool grow(size_t size) {
    char* const end = base_ + top_;
    size_t tail = 0;
    if (!free_.empty()) {
      const auto [block, bytes] = *std::prev(free_.end());
      if (block + bytes == end) tail = bytes;
    }
    const size_t more = round_up(size - tail, kGrowth);
    if (more > reserved_ - top_ || ::mprotect(end, more, PROT_READ | PROT_WRITE) != 0) return false;
    if (tail > 0) forget(end - tail, tail);
    remember(end - tail, tail + more);
    top_ += more;
    return true;
  }

  void remember(char* block, size_t size) {
    free_.emplace(block, size);
    by_size_.emplace(size, block);
  }

  void forget(char* block, size_t size) {
    free_.erase(block);
    by_size_.erase({size, block});
  }

  std::mutex mutex_;
  char* base_ = nullptr;
  size_t reserved_ = 0;
  size_t top_ = 0;
  std::map<char*, size_t> free_;
  std::set<std::pair<size_t, char*>> by_size_;
  std::map<char*, size_t> used_;
  HostMemory memory_;
};

// Tensors may outlive everything else at exit, so this is never destroyed.
Arena& arena() {
  static auto* const instance = new Arena();
  return *instance;
}

void free_block(void* pointer) {
  if (arena().owns(pointer)) {
    arena().give_back(pointer);
  } else {
    c10::free_cpu(pointer);
  }
}

class HostAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    TORCH_CHECK_WITH(OutOfMemoryError, bytes < kSmallest || bytes <= host_memory_left(), "out of memory: ", bytes,
                     " bytes exceed the limit of ", limit.load(), " for tensors on the host");
    count_allocation(bytes);
    void* block = bytes >= kSmallest ? arena().take(bytes) : nullptr;
    if (block == nullptr) block = c10::alloc_cpu(bytes);
    return {block, block, &free_block, c10::Device(c10::DeviceType::CPU)};
  }

  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return &free_block; }

  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }
};

}  // namespace

void use_arena_for_host_tensors() {
  static const bool installed = [] {
    static auto* const allocator = new HostAllocator();
    c10::SetCPUAllocator(allocator);
    return true;
  }();
  static_cast<void>(installed);
}

void release_free_host_memory() { arena().release_free(); }

void limit_host_memory(size_t bytes) { limit = bytes > 0 ? bytes : std::numeric_limits<size_t>::max(); }

bool host_memory_is_limited() { return limit != std::numeric_limits<size_t>::max(); }

size_t host_memory_left() { return limit - std::min(limit.load(), arena().memory().live); }

HostMemory host_memory() { return arena().memory(); }

}  // namespace animatediff
