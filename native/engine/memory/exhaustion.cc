#include "exhaustion.h"

#include <c10/util/Exception.h>

#include <new>

#include "../error.h"

namespace animatediff {

bool means_exhaustion(const std::string& text) {
  // Only the CUDA caching allocator has an error class of its own for this.
  // cuDNN's convolutions try one kernel after the other where their workspace does not fit, and say that there is none.
  for (const char* phrase :
       {"can't allocate memory", "out of memory", "ALLOC_FAILED", "unable to find an engine to execute"}) {
    if (text.find(phrase) != std::string::npos) return true;
  }
  return false;
}

std::optional<std::string> exhaustion(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const EngineError&) {
    return std::nullopt;  // it has been judged already
  } catch (const c10::OutOfMemoryError& problem) {
    return problem.what_without_backtrace();
  } catch (const c10::Error& problem) {
    const std::string text = problem.what_without_backtrace();
    return means_exhaustion(text) ? std::optional(text) : std::nullopt;
  } catch (const std::bad_alloc&) {
    return "Not enough memory.";
  } catch (const std::exception& problem) {
    return means_exhaustion(problem.what()) ? std::optional<std::string>(problem.what()) : std::nullopt;
  } catch (...) {
    return std::nullopt;
  }
}

}  // namespace animatediff
