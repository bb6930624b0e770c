#include "decode.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>

#include "error.h"

namespace animatediff {
namespace {

bool finite(const at::Tensor& tensor) { return at::isfinite(tensor).all().item<bool>(); }

// Latents [n, channels, h, w] to pictures [n, height, width, 3] float32 in 0..1.
at::Tensor decode(Graph& decoder, const at::Tensor& latents, const Callbacks& callbacks) {
  at::Tensor pixels = decoder({latents.to(decoder.dtype())});
  if (!finite(pixels)) {
    if (!finite(latents)) {
      throw EngineError(AD_NOT_FINITE,
                        "Sampling produced NaN. Try dtype 'bfloat16' or 'float32', or a lower guidance scale.");
    }
    if (decoder.dtype() == at::kHalf) {
      callbacks.notice("vae-float32", "The VAE overflowed in float16; it decodes in float32 from now on.");
      decoder.to(at::kFloat);
      pixels = decoder({latents});
    }
    if (!finite(pixels)) throw EngineError(AD_NOT_FINITE, "The VAE produced NaN; its weights are damaged.");
  }
  return (pixels.to(at::kFloat) / 2 + 0.5).clamp(0, 1).permute({0, 2, 3, 1});
}

// With the frames [first, done) of bytes [total, height, width, 3], if they are to be delivered.
void report(const Callbacks& callbacks, const at::Tensor& bytes, int64_t first, int64_t done, bool deliver) {
  const auto total = static_cast<uint64_t>(bytes.size(0));
  if (!deliver) {
    callbacks.progress(AD_PHASE_DECODE, static_cast<uint64_t>(done), total);
    return;
  }
  const at::Tensor fresh = bytes.narrow(0, first, done - first);
  const ad_tensor view{fresh.const_data_ptr(), AD_U8, fresh.sizes().data(), static_cast<int32_t>(fresh.dim())};
  callbacks.progress(AD_PHASE_DECODE, static_cast<uint64_t>(done), total, &view);
}

}  // namespace

void decode_clips(Graph& decoder, const at::Tensor& latents, const ad_request& request, Stages& stages,
                  const Callbacks& callbacks, ad_result& result) {
  const int64_t batch = latents.size(0);
  const int64_t frames = latents.size(2);
  const int64_t total = batch * frames;
  const at::Tensor scaled = (latents / request.vae_scaling_factor).transpose(1, 2).flatten(0, 1);
  at::Tensor bytes = at::empty({total, request.height, request.width, 3}, at::kByte);
  at::Tensor floats;
  if (request.keep_floats != 0) floats = at::empty(bytes.sizes(), at::kFloat);
  for (int64_t done = 0; done < total;) {
    callbacks.check_cancelled();
    const int64_t first = done;
    done += stages.run(AD_VAE_DECODER, [&] {
      const int64_t count = std::min(stages.plan().decode_frames, total - done);
      const at::Tensor pictures = decode(decoder, scaled.narrow(0, done, count), callbacks);
      bytes.narrow(0, done, count).copy_((pictures * 255).round().to(at::kByte));
      if (floats.defined()) floats.narrow(0, done, count).copy_(pictures);
      return count;
    });
    report(callbacks, bytes, first, done, request.deliver_frames != 0);
  }
  const std::vector<int64_t> shape{batch, frames, request.height, request.width, 3};
  result.add("frames", bytes.view(shape));
  if (floats.defined()) result.add("pictures", floats.view(shape));
}

}  // namespace animatediff
