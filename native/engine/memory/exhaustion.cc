#include "exhaustion.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <initializer_list>
#include <new>

#include "../error.h"

namespace animatediff {
namespace {

bool contains_any(const std::string& text, std::initializer_list<const char*> phrases) {
  return std::ranges::any_of(phrases, [&](const char* phrase) { return text.find(phrase) != std::string::npos; });
}

}  // namespace

bool names_exhaustion(const std::string& text) {
  // Only the CUDA caching allocator has an error class of its own for this. Failed allocations are cuBLAS's and
  // cuDNN's.
  return contains_any(text, {"can't allocate memory", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED"});
}

bool means_exhaustion(const std::string& text) {
  return names_exhaustion(text) ||
         contains_any(text, {// A convolution, for which no kernel's workspace fits.
                             "unable to find an engine to execute",
                             // Attention by cuDNN, and by LibTorch's choice.
                             "No valid execution plan", "No execution plans built", "No available kernel",
                             // Memory of a library's own, which it takes when it is first used.
                             "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED"});
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
