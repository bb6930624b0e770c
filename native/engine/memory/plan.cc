#include "plan.h"

#include <algorithm>
#include <vector>

namespace animatediff {
namespace {

// Elements alive at the worst moment, for every latent pixel of every frame and channel at full resolution. 16 frames
// of 512x512 with guidance in float16 took 1.04 GB beside the weights on an H200, which is 12, and 1.64 GB, which is
// 20, where LibTorch runs the graph as it is. What is recorded as a CUDA graph comes on top, at most the same again for
// one half.
constexpr int64_t kUNetElements = 20;

// The same for the decoder, per pixel: a ResNet of twice the channels with its input, norm, output and sum. diffusers
// grows by 93 MiB for every further frame of 256x256 in bfloat16, which is 5.8.
constexpr int64_t kDecoderElements = 6;

// What sequential offload has on the device of the UNet's weights: the largest parameter of Stable Diffusion 1.5, 59 of
// 2625 MB, while the one before is still in use.
constexpr uint64_t kSequentialShare = 20;

// The allocator's fragments, the workspaces of cuDNN and cuBLAS and what others take meanwhile.
constexpr double kUsable = 0.9;

// Pixels that fill a GPU when they are decoded, two frames of 512x512: four of them are 5 % faster on an H100 and take
// 0.8 GB more.
constexpr int64_t kDecodePixels = int64_t{2} * 512 * 512;

// The same on the CPU, where weights of convolutions are transformed once for all of them: four frames of 256x256 are
// no faster than two, and two of 512x512 slower than one (bench/NOTES.md).
constexpr int64_t kHostDecodePixels = int64_t{2} * 256 * 256;

uint64_t unet_activations(int64_t rows, const Workload& work, const NetworkSizes& sizes) {
  const int64_t latents = (work.height / work.vae_scale_factor) * (work.width / work.vae_scale_factor);
  return static_cast<uint64_t>(rows * work.frames * latents * sizes.unet_channels * kUNetElements * sizes.unet_element);
}

uint64_t decoder_activations(int64_t frames, const Workload& work, const NetworkSizes& sizes) {
  return static_cast<uint64_t>(frames * work.height * work.width * sizes.decoder_channels * kDecoderElements *
                               sizes.decoder_element);
}

uint64_t unet_weights(ad_offload offload, const NetworkSizes& sizes) {
  return offload == AD_OFFLOAD_SEQUENTIAL ? sizes.unet / kSequentialShare : sizes.unet;
}

bool fits(const MemoryPlan& plan, const Workload& work, const NetworkSizes& sizes, const DeviceMemory& device) {
  const auto limit = static_cast<uint64_t>(static_cast<double>(device.available) * kUsable);
  return device.available == 0 ||
         std::max(sampling_bytes(plan, work, sizes), decoding_bytes(plan, work, sizes)) <= limit;
}

// From the fastest to the smallest. Guidance stays whole as long as text encoder and VAE can make room for it: they
// come back once in a clip, and a split is paid for in every step where the device is not full.
std::vector<MemoryPlan> ladder(const Workload& work, bool is_host) {
  const int64_t pixels = work.height * work.width;
  const int64_t together = is_host ? kHostDecodePixels : kDecodePixels;
  const int64_t decode_frames = std::max<int64_t>(1, together / std::max<int64_t>(1, pixels));
  const int64_t half = std::max<int64_t>(1, work.rows / 2);
  std::vector<MemoryPlan> plans{{work.rows, decode_frames, AD_OFFLOAD_NONE}};
  if (is_host) plans.push_back({work.rows, 1, AD_OFFLOAD_NONE});
  else plans.push_back({work.rows, std::max<int64_t>(1, decode_frames / 2), AD_OFFLOAD_IDLE});
  const ad_offload idle = is_host ? AD_OFFLOAD_NONE : AD_OFFLOAD_IDLE;
  for (int64_t rows = half; rows >= 1; rows /= 2) plans.push_back({rows, 1, idle});
  if (!is_host) plans.push_back({1, 1, AD_OFFLOAD_SEQUENTIAL});
  return plans;
}

std::string count(int64_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

}  // namespace

uint64_t sampling_bytes(const MemoryPlan& plan, const Workload& work, const NetworkSizes& sizes) {
  const uint64_t waiting = plan.offload == AD_OFFLOAD_NONE ? sizes.text_encoder + sizes.vae_decoder : 0;
  return waiting + unet_weights(plan.offload, sizes) + unet_activations(plan.rows, work, sizes);
}

uint64_t decoding_bytes(const MemoryPlan& plan, const Workload& work, const NetworkSizes& sizes) {
  const uint64_t waiting = plan.offload == AD_OFFLOAD_NONE ? sizes.text_encoder : 0;
  return waiting + unet_weights(plan.offload, sizes) + sizes.vae_decoder +
         decoder_activations(plan.decode_frames, work, sizes);
}

MemoryPlan plan_memory(ad_memory_mode mode, const Workload& work, const NetworkSizes& sizes,
                       const DeviceMemory& device) {
  const std::vector<MemoryPlan> plans = ladder(work, device.is_host);
  if (mode == AD_MEMORY_HIGH) return plans.front();
  for (const MemoryPlan& plan : plans) {
    const bool small = plan.rows == 1 && plan.decode_frames == 1 && (device.is_host || plan.offload != AD_OFFLOAD_NONE);
    if ((mode != AD_MEMORY_LOW || small) && fits(plan, work, sizes, device)) return plan;
  }
  return plans.back();
}

bool shrink_encoding(MemoryPlan& plan, const DeviceMemory& device) {
  if (device.is_host || plan.offload == AD_OFFLOAD_SEQUENTIAL) return false;
  plan.offload = plan.offload == AD_OFFLOAD_NONE ? AD_OFFLOAD_IDLE : AD_OFFLOAD_SEQUENTIAL;
  return true;
}

bool shrink_sampling(MemoryPlan& plan, const DeviceMemory& device) {
  if (!device.is_host && plan.offload == AD_OFFLOAD_NONE) {
    plan.offload = AD_OFFLOAD_IDLE;
  } else if (plan.rows > 1) {
    plan.rows = (plan.rows + 1) / 2;
  } else if (!device.is_host && plan.offload == AD_OFFLOAD_IDLE) {
    plan.offload = AD_OFFLOAD_SEQUENTIAL;
  } else {
    return false;
  }
  return true;
}

bool shrink_decoding(MemoryPlan& plan, const DeviceMemory& device) {
  if (plan.decode_frames > 1) {
    plan.decode_frames /= 2;
  } else if (!device.is_host && plan.offload != AD_OFFLOAD_SEQUENTIAL) {
    plan.offload = AD_OFFLOAD_SEQUENTIAL;
  } else {
    return false;
  }
  return true;
}

std::string describe_plan(const MemoryPlan& plan, const Workload& work) {
  std::string text;
  if (plan.rows < work.rows)
    text += "the UNet runs " + count((work.rows + plan.rows - 1) / plan.rows, "time") + " for a step, ";
  text += count(plan.decode_frames, "frame") + (plan.decode_frames == 1 ? " is" : " are") + " decoded at a time";
  switch (plan.offload) {
    case AD_OFFLOAD_NONE: return text;
    case AD_OFFLOAD_IDLE: return text + ", text encoder and VAE wait on the host";
    case AD_OFFLOAD_SEQUENTIAL: return text + ", weights stay on the host and are copied where they are used (slow)";
  }
  return text;
}

std::string describe_what_fits(const Workload& work, const NetworkSizes& sizes, const DeviceMemory& device) {
  const MemoryPlan smallest = ladder(work, device.is_host).back();
  // What was asked for has failed, whatever the estimate says of it.
  Workload shorter = work;
  do shorter.frames /= 2;
  while (shorter.frames > 1 && !fits(smallest, shorter, sizes, device));
  Workload smaller = work;
  const int64_t step = work.vae_scale_factor * 8;
  do {
    smaller.height = smaller.height * 7 / 8 / step * step;
    smaller.width = smaller.width * 7 / 8 / step * step;
  } while (std::min(smaller.height, smaller.width) > step && !fits(smallest, smaller, sizes, device));
  std::string text;
  for (const Workload& offer : {shorter, smaller}) {
    if (offer.frames < 1 || offer.height < step || offer.width < step) continue;
    if (!fits(smallest, offer, sizes, device)) continue;
    text += (text.empty() ? "" : " or ") + count(offer.frames, "frame") + " of " + std::to_string(offer.width) + "x" +
            std::to_string(offer.height);
  }
  if (text.empty()) text = "fewer frames or a smaller size";
  return "Ask for " + text + ", or free memory on the " + (device.is_host ? "host." : "device.");
}

}  // namespace animatediff
