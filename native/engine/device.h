// Devices: which there are, whether one can be used, how much memory it has.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "animatediff.h"

namespace animatediff {

/** The CPU, then every CUDA device when libtorch_cuda is loaded and a driver answers. */
std::vector<ad_device_info> list_devices();

/** The device of the options; AD_DEVICE_UNAVAILABLE with the reason when it cannot be used. */
c10::Device resolve_device(const ad_engine_options& options);

/** Highest number of bytes that the device allocator held; 0 on the CPU. */
uint64_t peak_device_bytes(c10::Device device);

/** Waits until the device has finished what was queued. */
void synchronize(c10::Device device);

}  // namespace animatediff
