// Devices: which there are, whether one can be used, how much memory it has.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "animatediff.h"

namespace animatediff {

/**
 * The CPU, then every CUDA device when libtorch_cuda is loaded and a driver answers. Asking a device for its memory
 * opens a context on it, which takes some of that memory; one that does not answer is listed with 0 bytes.
 */
std::vector<ad_device_info> list_devices();

/** Number of CUDA devices; opens no context. */
int64_t cuda_device_count();

/** The device of the options; AD_DEVICE_UNAVAILABLE with the reason when it cannot be used. */
c10::Device resolve_device(const ad_engine_options& options);

/** Highest number of bytes that the device allocator has held in this process; 0 on the CPU. */
uint64_t peak_device_bytes(c10::Device device);

/** Highest number of bytes that were in tensors on the device at once; 0 on the CPU. */
uint64_t peak_allocated_bytes(c10::Device device);

/** Bytes in tensors on the device now; 0 on the CPU. */
uint64_t held_device_bytes(c10::Device device);

/** Bytes that the device's driver and the cache of its allocator can still give; 0 where they are not known. */
uint64_t free_device_bytes(c10::Device device);

/** Waits until the device has finished what was queued. */
void synchronize(c10::Device device);

/** Returns unused memory of the device's allocator to the driver. */
void release_device_cache(c10::Device device) noexcept;

/** Returns unused host memory that was pinned for the device to the system. */
void release_pinned_memory(c10::Device device) noexcept;

/**
 * Lets the device's allocator grow and shrink what it has taken, so that a stage uses what another one has left,
 * whatever the sizes. Nothing where the user has settings of LibTorch's allocator in the environment.
 */
void avoid_fragments();

/** Turns TF32 off for the process: its 10 bits of mantissa are not what `float32` promises. */
void use_full_float32();

}  // namespace animatediff
