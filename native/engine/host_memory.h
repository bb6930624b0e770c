// Host memory of tensors: one arena that keeps its pages between operators.
#pragma once

#include <cstddef>

namespace animatediff {

/**
 * Makes LibTorch take large CPU tensors from an arena of this library instead of malloc. Called once per process;
 * further calls do nothing.
 *
 * A sampling step allocates and frees gigabytes in pieces of many megabytes. On any thread but the main one, malloc
 * returns such pieces to the system at once, and every operator then waits for fresh zeroed pages. The arena reserves
 * addresses, grows as needed, merges neighbouring free blocks and hands out the smallest that fits, so that its size
 * stays near what is alive at the worst moment. The host program's malloc is not touched.
 */
void use_arena_for_host_tensors();

/** Returns the arena's free pages to the system; blocks in use stay as they are. */
void release_free_host_memory();

/** Allocations that would take more than `bytes` together fail from now on; 0: no limit. Small tensors do not count. */
void limit_host_memory(size_t bytes);

bool host_memory_is_limited();

/** Bytes until the limit; the highest value where there is none. */
size_t host_memory_left();

/** Bytes in blocks that are in use, and the highest value so far. Small tensors are not counted. */
struct HostMemory {
  size_t live = 0;
  size_t peak = 0;
};
HostMemory host_memory();

}  // namespace animatediff
