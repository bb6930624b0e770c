#include "decode.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <deque>
#include <memory>

#include "error.h"
#include "memory/transfer.h"

namespace animatediff {
namespace {

/** One number, a boolean, on the tensor's device. */
at::Tensor finite(const at::Tensor& tensor) { return at::isfinite(tensor).all(); }

/** Consecutive frames: their bytes [count, height, width, 3], and whether all of their pixels are finite. */
struct Piece {
  int64_t first;
  int64_t count;
  Download bytes_and_finite;

  const at::Tensor& bytes() { return bytes_and_finite.wait()[0]; }
  bool is_finite() { return bytes_and_finite.wait()[1].item<bool>(); }
};

/** Frames [first, first + count) of latents [total, channels, h, w]; `floats`, if defined, takes them in 0..1. */
std::unique_ptr<Piece> decode(Graph& decoder, const at::Tensor& latents, int64_t first, int64_t count,
                              const at::Tensor& floats) {
  const at::Tensor pixels = decoder({latents.narrow(0, first, count).to(decoder.dtype())});
  const at::Tensor pictures = (pixels.to(at::kFloat) / 2 + 0.5).clamp(0, 1).permute({0, 2, 3, 1});
  if (floats.defined()) floats.narrow(0, first, count).copy_(pictures);
  const at::Tensor bytes = (pictures * 255).round().to(at::kByte);
  return std::unique_ptr<Piece>(new Piece{first, count, Download({bytes, finite(pixels)})});
}

/** Converts a decoder that gave NaN or infinity to float32, or throws where that does not help. */
void prevent_overflow(Graph& decoder, const at::Tensor& latents, Stages& stages, const Callbacks& callbacks) {
  if (!finite(latents).item<bool>()) {
    throw EngineError(AD_NOT_FINITE,
                      "Sampling produced NaN. Try dtype 'bfloat16' or 'float32', or a lower guidance scale.");
  }
  if (decoder.dtype() != at::kHalf) {
    throw EngineError(AD_NOT_FINITE, "The VAE produced NaN; its weights are damaged.");
  }
  callbacks.notice("vae-float32", "The VAE overflowed in float16; it decodes in float32 from now on.");
  stages.run(AD_VAE_DECODER, [&] { decoder.to(at::kFloat); });
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

void decode_clips(Graph& decoder, const at::Tensor& latents, const ad_request& request, int64_t pieces_ahead,
                  Stages& stages, const Callbacks& callbacks, ad_result& result) {
  const int64_t batch = latents.size(0);
  const int64_t frames = latents.size(2);
  const int64_t total = batch * frames;
  const at::Tensor scaled = (latents / request.vae_scaling_factor).transpose(1, 2).flatten(0, 1);
  at::Tensor bytes = at::empty({total, request.height, request.width, 3}, at::kByte);
  at::Tensor floats;
  if (request.keep_floats != 0) floats = at::empty(bytes.sizes(), at::kFloat);
  std::deque<std::unique_ptr<Piece>> queued;
  for (int64_t next = 0; next < total || !queued.empty();) {
    if (next < total && static_cast<int64_t>(queued.size()) <= pieces_ahead) {
      callbacks.check_cancelled();
      queued.push_back(stages.run(AD_VAE_DECODER, [&] {
        return decode(decoder, scaled, next, std::min(stages.plan().decode_frames, total - next), floats);
      }));
      next += queued.back()->count;
      continue;
    }
    Piece& piece = *queued.front();
    if (!piece.is_finite()) {
      prevent_overflow(decoder, scaled.narrow(0, piece.first, piece.count), stages, callbacks);
      next = piece.first;
      queued.clear();
      continue;
    }
    bytes.narrow(0, piece.first, piece.count).copy_(piece.bytes());
    report(callbacks, bytes, piece.first, piece.first + piece.count, request.deliver_frames != 0);
    queued.pop_front();
  }
  const std::vector<int64_t> shape{batch, frames, request.height, request.width, 3};
  result.add("frames", bytes.view(shape));
  if (floats.defined()) result.add("pictures", floats.view(shape));
}

}  // namespace animatediff
