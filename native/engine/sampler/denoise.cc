#include "denoise.h"

#include <ATen/TensorOperators.h>

#include <cstdlib>
#include <cstring>

#include "../cpu/text_cache.h"
#include "../decode.h"
#include "../device.h"
#include "../error.h"
#include "../schedulers/scheduler.h"
#include "../text.h"
#include "noise.h"
#include "predict.h"
#include "preview.h"
#include "stages.h"

namespace animatediff {
namespace {

void report(const Callbacks& callbacks, const ad_request& request, size_t step, const Scheduler& scheduler,
            const at::Tensor& output, const at::Tensor& latents) {
  const auto done = static_cast<uint64_t>(step) + 1;
  const auto total = static_cast<uint64_t>(scheduler.timesteps().size());
  if (request.preview == 0) {
    callbacks.progress(AD_PHASE_SAMPLE, done, total);
    return;
  }
  const at::Tensor first = scheduler.predict_original(step, output.narrow(0, 0, 1), latents.narrow(0, 0, 1))[0];
  const at::Tensor picture = latent_preview(first);
  const ad_tensor view{picture.const_data_ptr(), AD_U8, picture.sizes().data(), static_cast<int32_t>(picture.dim())};
  callbacks.progress(AD_PHASE_SAMPLE, done, total, &view);
}

// As lib/environment.ts reads it, for one name at least.
bool debugs() {
  const char* const wanted = std::getenv("DEBUG");
  return wanted != nullptr && (std::strstr(wanted, "animatediff-native") != nullptr || std::strcmp(wanted, "*") == 0);
}

// The final latents [batch, channels, frames, h, w], float32 on the device.
at::Tensor denoise(const Pipeline& pipeline, const ad_request& request, Stages& stages, const Callbacks& callbacks,
                   ad_result& result) {
  const auto scheduler = make_scheduler(request.scheduler);
  callbacks.progress(AD_PHASE_TEXT, 0, 1);
  const cpu::TextCache cache;
  const at::Tensor text = stages.run(AD_TEXT_ENCODER, [&] {
    return encode_prompts(pipeline.text_encoder, request, is_guided(request), pipeline.device);
  });
  if (request.keep_floats != 0) result.add("text", text.to(at::kFloat));
  callbacks.progress(AD_PHASE_TEXT, 1, 1);

  std::vector<at::Generator> generators;
  for (int32_t i = 0; i < request.batch; ++i) generators.push_back(cpu_generator(request.seeds[i]));
  at::Tensor latents = gaussian({request.batch, request.latent_channels, request.frames,
                                 request.height / request.vae_scale_factor, request.width / request.vae_scale_factor},
                                generators)
                           .to(pipeline.device) *
                       scheduler->init_noise_sigma();

  const auto& timesteps = scheduler->timesteps();
  Predictor predict(pipeline, request, text, timesteps.size());
  for (size_t step = 0; step < timesteps.size(); ++step) {
    callbacks.check_cancelled();
    const at::Tensor scaled = scheduler->scale_model_input(step, latents);
    const at::Tensor output =
        stages.run(AD_UNET, [&] { return predict(step, timesteps[step], scaled, stages.plan().rows); });
    const at::Tensor next = scheduler->step(step, output, latents, generators);
    synchronize(pipeline.device);  // a step is reported when it is done, not when it is queued
    report(callbacks, request, step, *scheduler, output, latents);
    latents = next;
  }
  const std::string problem = pipeline.unet.recording_problem();
  if (!problem.empty() && debugs()) {
    callbacks.notice("no-cuda-graph",
                     ("The UNet's kernels are started one by one, not as a CUDA graph: " + problem).c_str());
  }
  return latents;
}

}  // namespace

std::unique_ptr<ad_result> run_pipeline(const Pipeline& pipeline, const ad_request& request, MemoryPlan& plan,
                                        const Callbacks& callbacks) {
  auto result = std::make_unique<ad_result>();
  Stages stages(pipeline, request, plan, callbacks);
  const at::Tensor latents = denoise(pipeline, request, stages, callbacks, *result);
  if (request.keep_floats != 0) result->add("latents", latents);
  const int64_t pieces_ahead = pipeline.device.is_cpu() ? 0 : 1;
  decode_clips(pipeline.vae_decoder, latents, request, pieces_ahead, stages, callbacks, *result);
  return result;
}

}  // namespace animatediff
