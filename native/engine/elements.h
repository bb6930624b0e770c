// Elements of files as tensors: read in order, cast and checked while they are in the processor's cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "animatediff.h"
#include "source_files.h"

namespace animatediff {

/** Whether every element of a floating-point CPU tensor is finite. */
bool all_finite(const at::Tensor& tensor);

/**
 * Fills `target`, a contiguous CPU tensor, with the elements of a source without strides from number `first`.
 *
 * `parameter` names the target in errors. Throws what SourceFiles::read throws, and AD_WEIGHTS_NOT_FINITE for NaN or
 * infinity, also when casting made them.
 */
void read_elements(const ad_source& source, int64_t first, SourceFiles& files, const char* parameter,
                   const at::Tensor& target);

[[noreturn]] void not_finite(const ad_source& source, const char* parameter, const char* reason);

}  // namespace animatediff
