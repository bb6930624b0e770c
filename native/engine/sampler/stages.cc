#include "stages.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "../device.h"
#include "../error.h"
#include "../host_memory.h"

namespace animatediff {
namespace {

const char* activity(ad_role role) {
  switch (role) {
    case AD_TEXT_ENCODER: return "reading the prompt";
    case AD_UNET: return "sampling";
    default: return "decoding";
  }
}

// Is a network on the device while `running` runs?
bool stays(ad_role role, ad_role running, ad_offload offload) {
  switch (offload) {
    case AD_OFFLOAD_NONE: return true;
    case AD_OFFLOAD_IDLE: return role == running || role == AD_UNET;
    case AD_OFFLOAD_SEQUENTIAL: return role == running && role != AD_UNET;
  }
  return true;
}

void check(const ad_request& request) {
  const int32_t factor = request.vae_scale_factor;
  if (request.batch < 1 || request.frames < 1 || factor < 1) {
    throw EngineError(AD_INVALID_ARGUMENT, "Batch, frames and VAE scale factor must be positive.");
  }
  if (request.deep_cache < 1 || !(request.guidance_end >= 0.0 && request.guidance_end <= 1.0)) {
    throw EngineError(AD_INVALID_ARGUMENT, "Features are reused for at least one step, guidance ends within the clip.");
  }
  if (request.height < factor || request.width < factor || request.height % factor != 0 ||
      request.width % factor != 0) {
    throw EngineError(AD_INVALID_ARGUMENT, "Expected width and height as positive multiples of " +
                                               std::to_string(factor) + ", got " + std::to_string(request.width) + "x" +
                                               std::to_string(request.height) + ".");
  }
}

}  // namespace

Workload workload(const ad_request& request) {
  check(request);
  return {.rows = int64_t{request.batch} * (request.guidance_scale > 1.0 ? 2 : 1),
          .frames = request.frames,
          .height = request.height,
          .width = request.width,
          .vae_scale_factor = request.vae_scale_factor};
}

NetworkSizes sizes(const Pipeline& pipeline) {
  return {.text_encoder = pipeline.text_encoder.bytes(),
          .unet = pipeline.unet.bytes(),
          .vae_decoder = pipeline.vae_decoder.bytes(),
          .unet_channels = pipeline.unet.length("conv_in.weight", 0),
          .decoder_channels = pipeline.vae_decoder.length("decoder.conv_out.weight", 1),
          .unet_element = static_cast<int64_t>(c10::elementSize(pipeline.dtype)),
          .decoder_element = static_cast<int64_t>(c10::elementSize(pipeline.vae_decoder.dtype()))};
}

DeviceMemory memory_of(const Pipeline& pipeline, const ad_request& request, const NetworkSizes& sizes) {
  const std::array networks{std::pair{&pipeline.text_encoder, sizes.text_encoder},
                            std::pair{&pipeline.unet, sizes.unet}, std::pair{&pipeline.vae_decoder, sizes.vae_decoder}};
  uint64_t resident = 0;
  for (const auto& [network, bytes] : networks) resident += network->place() == pipeline.device ? bytes : 0;
  const bool is_host = pipeline.device.is_cpu();
  uint64_t free_bytes = is_host ? request.host_free : free_device_bytes(pipeline.device);
  if (is_host) {
    const uint64_t left = host_memory_left();
    free_bytes = free_bytes == 0 ? (host_memory_is_limited() ? left : 0) : std::min(free_bytes, left);
  }
  return {.is_host = is_host, .available = free_bytes == 0 ? 0 : free_bytes + resident};
}

void Stages::place(ad_role running) const {
  if (pipeline_.device.is_cpu()) return;
  const std::array networks{std::pair{AD_TEXT_ENCODER, &pipeline_.text_encoder}, std::pair{AD_UNET, &pipeline_.unet},
                            std::pair{AD_VAE_DECODER, &pipeline_.vae_decoder}};
  // Those that leave make room for those that come.
  for (const bool comes : {false, true}) {
    for (const auto& [role, network] : networks) {
      if (stays(role, running, plan_.offload) != comes) continue;
      network->move(comes ? pipeline_.device : c10::Device(c10::DeviceType::CPU));
    }
  }
}

void Stages::shrink(ad_role running, const std::string& reason) {
  pipeline_.unet.forget_recordings();
  const NetworkSizes networks = sizes(pipeline_);
  const DeviceMemory memory = memory_of(pipeline_, request_, networks);
  const Workload work = workload(request_);
  const bool smaller = running == AD_VAE_DECODER ? shrink_decoding(plan_, memory)
                       : running == AD_UNET      ? shrink_sampling(plan_, memory)
                                                 : shrink_encoding(plan_, memory);
  const std::string what = std::string("Out of memory while ") + activity(running);
  if (!smaller) {
    throw EngineError(AD_OUT_OF_MEMORY,
                      what + ", with the smallest pieces. " + describe_what_fits(work, networks, memory), reason);
  }
  callbacks_.notice("memory-retry",
                    (what + "; going on in smaller pieces: " + describe_plan(plan_, work) + ".").c_str());
}

}  // namespace animatediff
