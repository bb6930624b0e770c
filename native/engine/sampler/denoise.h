// From token ids to frames: text, noise, the denoising loop, decoding.
#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "../engine.h"
#include "../graph.h"
#include "../memory/plan.h"
#include "../result.h"

namespace animatediff {

/** The networks and the place where they run; borrowed for one call. */
struct Pipeline {
  Graph& text_encoder;
  Graph& unet;
  Graph& vae_decoder;
  c10::Device device;
  c10::ScalarType dtype;
  /** Latent pixels of a batch up to which the UNet is recorded (Graph::repeat). */
  int64_t most_recorded;
};

/** What the memory plan of a request is made from; AD_INVALID_ARGUMENT for a shape that there cannot be. */
Workload workload(const ad_request& request);
NetworkSizes sizes(const Pipeline& pipeline);
DeviceMemory memory_of(const Pipeline& pipeline, const ad_request& request, const NetworkSizes& sizes);

/**
 * See ad_engine_generate. A stage that runs out of memory makes the plan smaller, with a notice, and goes on where it
 * was; AD_OUT_OF_MEMORY when there is no smaller one.
 */
std::unique_ptr<ad_result> run_pipeline(const Pipeline& pipeline, const ad_request& request, MemoryPlan& plan,
                                        const Callbacks& callbacks);

}  // namespace animatediff
