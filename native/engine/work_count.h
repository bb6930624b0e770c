// What LibTorch was asked for, operators and host memory, so that a test sees when either grows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace animatediff {

/** Since counting began, on all threads of the process. */
struct WorkCount {
  /** Calls through LibTorch's dispatcher, those that operators make among them included. */
  uint64_t operators = 0;
  /** Tensors that were given memory on the host, and their bytes. */
  uint64_t allocations = 0;
  uint64_t bytes = 0;
};

/** Returns what was counted so far, and counts from zero on, or not at all. It costs nothing while it is off. */
WorkCount count_work(bool enabled);

/** For the allocator of host tensors. */
void count_allocation(size_t bytes) noexcept;

}  // namespace animatediff
