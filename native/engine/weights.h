// Fills parameters from regions of files: read, check, cast, move to the device, one piece of a tensor at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include "animatediff.h"
#include "memory/destination.h"
#include "source_files.h"

namespace animatediff {

/** A tensor of a file in its own shape, for `recipe`, cast to `dtype`. Errors are those of read_parameter. */
at::Tensor read_tensor(const ad_source& source, const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype);

/**
 * The tensor of one recipe in `dtype` at `place`.
 *
 * Host memory in use beyond the result and the buffers of `place`: read buffers of less than a megabyte (a whole tensor
 * only when the source has strides, a megabyte of float32 when it has the terms of usual LoRAs, a few float32 copies of
 * this parameter with others). Throws AD_WEIGHTS_SHAPE when element counts differ and AD_WEIGHTS_NOT_FINITE
 * for NaN or infinity, also when casting made them.
 */
at::Tensor read_parameter(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype, Destination& place);

/** Bytes that read_parameter will read for a recipe, its terms included. */
uint64_t source_bytes(const ad_recipe& recipe);

/**
 * Sinusoidal positions [1, length, channels] float32: sin on even channels, cos on odd ones, of
 * position * exp(-channel_pair * 2 ln(10000) / channels) (Vaswani et al., arXiv 1706.03762, section 3.5).
 */
at::Tensor sinusoidal_positions(int64_t length, int64_t channels);

}  // namespace animatediff
