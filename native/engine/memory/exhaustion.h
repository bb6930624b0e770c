// Running out of memory: how it is recognised, and trying again with less.
#pragma once

#include <c10/core/Device.h>

#include <exception>
#include <optional>
#include <string>

#include "../device.h"
#include "../host_memory.h"

namespace animatediff {

/** Whether LibTorch, CUDA or the C++ library says in so many words that memory ran out. */
bool names_exhaustion(const std::string& text);

/**
 * The same, and what cuBLAS, cuDNN and the attention say when all that they try fails for want of memory. For calls
 * that are known to have a kernel: of others it may be true that there is none.
 */
bool means_exhaustion(const std::string& text);

/** What an exception that stands for exhausted memory says; nothing for any other. */
std::optional<std::string> exhaustion(const std::exception_ptr& error);

/**
 * Runs `work`, and again after every `shrink(reason)` for as long as it runs out of memory. `shrink` makes the work
 * smaller or throws. What the failed attempt held is given back before.
 */
template <typename Work, typename Shrink>
auto retry_smaller(c10::Device device, const Work& work, const Shrink& shrink) {
  while (true) {
    std::string reason;
    try {
      return work();
    } catch (...) {
      const auto found = exhaustion(std::current_exception());
      if (!found.has_value()) throw;
      reason = *found;
    }
    // Outside of the handler: an exception in flight can keep tensors alive.
    release_free_host_memory();
    release_device_cache(device);
    shrink(reason);
  }
}

}  // namespace animatediff
