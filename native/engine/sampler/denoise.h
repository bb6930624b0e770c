// From token ids to frames: text, noise, the denoising loop, decoding.
#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "../engine.h"
#include "../graph.h"
#include "../result.h"

namespace animatediff {

/** The networks and the place where they run; borrowed for one call. */
struct Pipeline {
  Graph& text_encoder;
  Graph& unet;
  Graph& vae_decoder;
  c10::Device device;
  c10::ScalarType dtype;
};

/** See ad_engine_generate. */
std::unique_ptr<ad_result> run_pipeline(const Pipeline& pipeline, const ad_request& request,
                                        const Callbacks& callbacks);

}  // namespace animatediff
