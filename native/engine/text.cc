#include "text.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "error.h"

namespace animatediff {
namespace {

// Beyond it the sine of the angle is too small to divide by.
constexpr double kParallel = 0.9995;

at::Tensor token_ids(const ad_prompts& prompts, const ad_request& request, c10::Device device) {
  const int64_t sequences = static_cast<int64_t>(prompts.texts) * request.chunks;
  return at::from_blob(const_cast<int64_t*>(prompts.ids), {sequences, request.tokens}, at::kLong).to(device);
}

at::Tensor token_weights(const ad_prompts& prompts, const ad_request& request, c10::Device device) {
  const int64_t sequences = static_cast<int64_t>(prompts.texts) * request.chunks;
  const auto options = at::TensorOptions().dtype(at::kFloat);
  if (prompts.weights == nullptr) return at::ones({sequences, request.tokens}, options.device(device));
  return at::from_blob(const_cast<float*>(prompts.weights), {sequences, request.tokens}, options).to(device);
}

// One row per frame of every clip, from the texts [texts, tokens, width] of one side.
at::Tensor frame_rows(const ad_prompts& prompts, const ad_request& request, const at::Tensor& texts) {
  if (prompts.frames == nullptr) return texts.repeat_interleave(request.frames, 0);
  std::vector<at::Tensor> rows;
  for (const ad_blend& blend : std::span(prompts.frames, static_cast<size_t>(request.batch) * request.frames)) {
    rows.push_back(blend.from == blend.to
                       ? texts[blend.from]
                       : interpolate(texts[blend.from], texts[blend.to], blend.position, request.interpolation));
  }
  return at::stack(rows);
}

void check(const ad_prompts& prompts, const ad_request& request) {
  const bool by_clip = prompts.frames == nullptr;
  bool fits = prompts.texts > 0 && prompts.ids != nullptr && (!by_clip || prompts.texts == request.batch);
  if (fits && !by_clip) {
    const std::span frames(prompts.frames, static_cast<size_t>(request.batch) * request.frames);
    const auto known = [&](int32_t text) { return text >= 0 && text < prompts.texts; };
    fits = std::all_of(frames.begin(), frames.end(), [&](const ad_blend& b) { return known(b.from) && known(b.to); });
  }
  if (!fits || request.chunks < 1 || request.tokens < 1 || request.layers_skipped < 0) {
    throw EngineError(AD_INVALID_ARGUMENT, "Expected a text for every clip or every frame of the request.");
  }
}

}  // namespace

at::Tensor weigh(const at::Tensor& embeddings, const at::Tensor& weights) {
  const at::Tensor plain = embeddings.to(at::kFloat);
  const at::Tensor weighted = plain * weights.unsqueeze(-1);
  const at::Tensor before = plain.mean({1, 2}, true);
  const at::Tensor after = weighted.mean({1, 2}, true);
  const at::Tensor scale = at::where(after == 0, at::ones_like(after), before / after);
  return (weighted * scale).to(embeddings.scalar_type());
}

at::Tensor interpolate(const at::Tensor& a, const at::Tensor& b, double position, ad_interpolation kind) {
  const at::Tensor from = a.to(at::kFloat);
  const at::Tensor to = b.to(at::kFloat);
  double left = 1 - position;
  double right = position;
  if (kind == AD_SLERP) {
    const double cosine = ((from * to).sum() / (from.norm() * to.norm())).item<double>();
    if (std::abs(cosine) <= kParallel) {
      const double angle = std::acos(cosine);
      left = std::sin((1 - position) * angle) / std::sin(angle);
      right = std::sin(position * angle) / std::sin(angle);
    }
  }
  return (left * from + right * to).to(a.scalar_type());
}

at::Tensor encode_prompts(Graph& encoder, const ad_request& request, bool guided, c10::Device device) {
  check(request.prompts, request);
  if (guided) check(request.negatives, request);
  // Both sides in one call; without chunks and weights nothing else happens to them.
  const auto both = [&](auto&& part) {
    const at::Tensor positive = part(request.prompts, request, device);
    return guided ? at::cat({part(request.negatives, request, device), positive}, 0) : positive;
  };
  at::Tensor text = encoder({both(token_ids), int64_t{request.layers_skipped}});
  if (request.prompts.weights != nullptr || (guided && request.negatives.weights != nullptr)) {
    text = weigh(text, both(token_weights));
  }
  text = text.reshape({-1, int64_t{request.chunks} * request.tokens, text.size(2)});
  if (request.prompts.frames == nullptr && (!guided || request.negatives.frames == nullptr)) return text;
  if (!guided) return frame_rows(request.prompts, request, text);
  const int64_t negatives = request.negatives.texts;
  return at::cat({frame_rows(request.negatives, request, text.narrow(0, 0, negatives)),
                  frame_rows(request.prompts, request, text.narrow(0, negatives, request.prompts.texts))},
                 0);
}

}  // namespace animatediff
