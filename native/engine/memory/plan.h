// In which pieces a call runs, and where the networks lie meanwhile, so that it fits into a device's memory. Pure
// arithmetic: nothing here asks a device.
#pragma once

#include <cstdint>
#include <string>

#include "../animatediff.h"

namespace animatediff {

/** What a call computes. */
struct Workload {
  /** Clips, twice as many with guidance: rows of the UNet's batch. */
  int64_t rows = 1;
  int64_t frames = 1;
  /** Pixels of a frame. */
  int64_t height = 0;
  int64_t width = 0;
  int64_t vae_scale_factor = 8;
};

/** What the networks take, in bytes, and what decides on the size of their activations. */
struct NetworkSizes {
  uint64_t text_encoder = 0;
  uint64_t unet = 0;
  uint64_t vae_decoder = 0;
  /** Channels at full resolution: 320 and 128 in Stable Diffusion 1.5. */
  int64_t unet_channels = 0;
  int64_t decoder_channels = 0;
  /** Bytes of an element. */
  int64_t unet_element = 4;
  int64_t decoder_element = 4;
};

/** Memory of a device as far as the plan cares. */
struct DeviceMemory {
  /** The device is the host: networks cannot be put anywhere else. */
  bool is_host = true;
  /** Bytes that weights and activations may take together, those of weights that lie there included; 0: not known. */
  uint64_t available = 0;
};

/** How a call runs. Results do not depend on it but for rounding. */
struct MemoryPlan {
  /** Rows of the batch that the UNet computes at once. */
  int64_t rows = 1;
  /** Frames that the VAE decodes at once. */
  int64_t decode_frames = 1;
  ad_offload offload = AD_OFFLOAD_NONE;

  bool operator==(const MemoryPlan&) const = default;
};

/** Bytes that sampling and decoding take at their worst moment, weights included; estimates, see plan.cc. */
uint64_t sampling_bytes(const MemoryPlan& plan, const Workload& work, const NetworkSizes& sizes);
uint64_t decoding_bytes(const MemoryPlan& plan, const Workload& work, const NetworkSizes& sizes);

/**
 * The fastest plan that fits; of those that do not, the smallest. `AD_MEMORY_HIGH` is the fastest whatever is
 * available, `AD_MEMORY_LOW` starts at the plan with the least activations.
 */
MemoryPlan plan_memory(ad_memory_mode mode, const Workload& work, const NetworkSizes& sizes,
                       const DeviceMemory& device);

/** The next smaller plan for a stage that ran out of memory; returns false when there is none. */
bool shrink_encoding(MemoryPlan& plan, const DeviceMemory& device);
bool shrink_sampling(MemoryPlan& plan, const DeviceMemory& device);
bool shrink_decoding(MemoryPlan& plan, const DeviceMemory& device);

/** `guidance in 2 parts, 1 frame decoded at a time, text encoder and VAE on the host while they wait`. */
std::string describe_plan(const MemoryPlan& plan, const Workload& work);

/** What to ask for instead: `Ask for 8 frames of 512x512 or 16 frames of 384x384, or free memory on the device.` */
std::string describe_what_fits(const Workload& work, const NetworkSizes& sizes, const DeviceMemory& device);

}  // namespace animatediff
