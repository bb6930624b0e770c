// Decoding by pieces, with a piece in the queue behind the one that is handed over as on a device, and without.

#include "../engine/decode.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <string>
#include <vector>

#include "../engine/error.h"
#include "../engine/memory/transfer.h"
#include "check.h"

using namespace animatediff;

namespace {

Graph decoder(double scale = 1) {
  at::manual_seed(7);
  Graph graph = Graph::load("native/graphs/tiny-vae_decoder.pt");
  const torch::jit::Module plain = graph.plain();
  for (const auto& parameter : plain.named_parameters()) {
    const double factor = parameter.name == "decoder.conv_in.weight" ? scale : 1;
    graph.set(parameter.name, at::randn(parameter.value.sizes()) * 0.2 * factor);
  }
  graph.require_complete();
  return graph;
}

struct Report {
  uint64_t done;
  std::vector<uint8_t> bytes;
  /** Pieces that were begun before. */
  int begun;
};

struct Observer {
  int begun = 0;
  int cancel_at = 1000;
  std::vector<Report> reports;
  std::vector<std::string> notices;

  ad_callbacks callbacks() {
    return {this,
            [](void* context, ad_phase, uint64_t done, uint64_t, const ad_tensor* frames) {
              auto& self = *static_cast<Observer*>(context);
              const auto* const data = static_cast<const uint8_t*>(frames->data);
              const auto count = static_cast<size_t>(frames->shape[0] * frames->shape[1] * frames->shape[2] * 3);
              self.reports.push_back({done, {data, data + count}, self.begun});
            },
            [](void* context, const char* code, const char*) {
              static_cast<Observer*>(context)->notices.emplace_back(code);
            },
            [](void* context) -> int32_t {
              auto& self = *static_cast<Observer*>(context);
              return ++self.begun > self.cancel_at ? 1 : 0;
            }};
  }
};

struct Decoded {
  at::Tensor frames;
  at::Tensor pictures;
};

/** Two clips of 3 frames of 32x32, two at a time. */
Decoded decode(Graph& graph, const at::Tensor& latents, int64_t pieces_ahead, Observer& observer) {
  Graph none;
  const Pipeline pipeline{none, none, graph, at::kCPU, at::kFloat, 0};
  ad_request request{};
  request.batch = static_cast<int32_t>(latents.size(0));
  request.frames = static_cast<int32_t>(latents.size(2));
  request.height = request.width = 32;
  request.vae_scale_factor = 8;
  request.vae_scaling_factor = 0.5;
  request.deep_cache = 1;
  request.deliver_frames = request.keep_floats = 1;
  MemoryPlan plan{.rows = 1, .decode_frames = 2};
  const ad_callbacks raw = observer.callbacks();
  const Callbacks callbacks(&raw);
  Stages stages(pipeline, request, plan, callbacks);
  ad_result result;
  decode_clips(graph, latents, request, pieces_ahead, stages, callbacks, result);
  return {result.tensors.at(0).second, result.tensors.at(1).second};
}

at::Tensor noise() {
  at::manual_seed(8);
  return at::randn({2, 4, 3, 4, 4});
}

void frames_are_the_same_with_a_piece_ahead() {
  Graph graph = decoder();
  Observer direct;
  const Decoded expected = decode(graph, noise(), 0, direct);
  EXPECT(expected.frames.sizes() == at::IntArrayRef({2, 3, 32, 32, 3}));
  EXPECT(expected.frames.to(at::kFloat).std().item<double>() > 1);
  EXPECT((expected.pictures * 255).round().to(at::kByte).equal(expected.frames));
  Observer ahead;
  const Decoded queued = decode(graph, noise(), 1, ahead);
  EXPECT(queued.frames.equal(expected.frames) && queued.pictures.equal(expected.pictures));
  EXPECT(direct.reports.size() == 3 && ahead.reports.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT(direct.reports[i].done == 2 * (i + 1) && ahead.reports[i].done == 2 * (i + 1));
    EXPECT(direct.reports[i].bytes == ahead.reports[i].bytes);
    EXPECT(direct.reports[i].begun == static_cast<int>(i) + 1);
    EXPECT(ahead.reports[i].begun == std::min(static_cast<int>(i) + 2, 3));
  }
}

void an_overflow_is_decoded_again_from_its_piece_on() {
  at::Tensor latents = noise();
  latents[1][0][2].mul_(1e6);
  Graph graph = decoder();
  Observer quiet;
  const Decoded expected = decode(graph, latents, 0, quiet);
  EXPECT(quiet.notices.empty());
  for (const int64_t ahead : {0, 1}) {
    Graph half = decoder();
    half.to(at::kHalf);
    Observer observer;
    const Decoded decoded = decode(half, latents, ahead, observer);
    EXPECT(observer.notices == std::vector<std::string>{"vae-float32"});
    EXPECT(half.dtype() == at::kFloat);
    // The last of three pieces comes twice.
    EXPECT(observer.reports.size() == 3 && observer.begun == 4);
    EXPECT((decoded.pictures - expected.pictures).abs().max().item<double>() < 0.1);
  }
}

void nan_is_refused() {
  Graph graph = decoder();
  at::Tensor latents = noise();
  latents[1][0][2][0][0] = std::nan("");
  for (const int64_t ahead : {0, 1}) {
    Observer observer;
    EXPECT_STATUS(decode(graph, latents, ahead, observer), AD_NOT_FINITE);
    EXPECT(observer.reports.size() == 2 && observer.notices.empty());
  }
  Graph damaged = decoder(INFINITY);
  Observer observer;
  EXPECT_STATUS(decode(damaged, noise(), 1, observer), AD_NOT_FINITE);
}

void decoding_can_be_cancelled() {
  Graph graph = decoder();
  Observer observer;
  observer.cancel_at = 2;
  EXPECT_STATUS(decode(graph, noise(), 1, observer), AD_ABORTED);
  EXPECT(observer.reports.size() == 1);
}

void tensors_on_the_host_are_where_they_go() {
  const at::Tensor values = at::randn({3, 5});
  Download download({values, values.t()});
  EXPECT(download.wait()[0].is_same(values));
  EXPECT(download.wait()[1].is_contiguous() && download.wait()[1].equal(values.t()));
  EXPECT(transfer_memory({2, 3}, at::kHalf, at::kCPU).sizes() == at::IntArrayRef({2, 3}));
}

}  // namespace

int main() {
  const c10::InferenceMode inference;
  frames_are_the_same_with_a_piece_ahead();
  an_overflow_is_decoded_again_from_its_piece_on();
  nan_is_refused();
  decoding_can_be_cancelled();
  tensors_on_the_host_are_where_they_go();
  return check::finish("decode");
}
