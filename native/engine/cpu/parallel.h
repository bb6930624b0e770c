// Loops on the threads of LibTorch.
#pragma once

#include <cstdint>
#include <functional>

namespace animatediff::cpu {

/**
 * Calls `work(first, last)` for parts of [begin, end) of at least `grain` items, at most one on each of LibTorch's
 * threads, and waits. What a part throws is thrown again, once.
 *
 * at::parallel_for is a template that is serial in code compiled without OpenMP. Compiled with it, this library would
 * name an OpenMP runtime of its own, beside the one that LibTorch brings under a name of its own. So the runtime that
 * is loaded is asked by name; without one the loop is serial.
 */
void parallel_for(int64_t begin, int64_t end, int64_t grain, const std::function<void(int64_t, int64_t)>& work);

/** Whether such a runtime was found. */
bool has_threads();

}  // namespace animatediff::cpu
