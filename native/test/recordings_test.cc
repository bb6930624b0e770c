// Calls that come again, with a device that is made up: what it records it does at once, and does again when started.

#include "../engine/cuda/recordings.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>

#include "../engine/cuda/replace.h"
#include "networks.h"
#include "operator_cases.h"

namespace {

using animatediff::cuda::GraphFunctions;
using animatediff::cuda::Recordings;
using networks::Module;
using Inputs = Recordings::Inputs;
using Work = std::function<void()>;

constexpr size_t kText = 2;

struct Device {
  /** What the network did while it was recorded, to be done again. */
  Work done;
  bool refuses = false;
  int recorded = 0;
  int started = 0;
  int freed = 0;
};

Device device;

const GraphFunctions& made_up() {
  static const GraphFunctions functions{
      .capture = [](int /*device*/, void* /*neighbour*/, void (*body)(void*), void* context) -> void* {
        body(context);
        if (device.refuses) throw std::runtime_error("the device cannot record");
        ++device.recorded;
        return new Work(device.done);
      },
      .replay =
          [](void* graph) {
            ++device.started;
            (*static_cast<Work*>(graph))();
          },
      .free =
          [](void* graph) {
            ++device.freed;
            delete static_cast<Work*>(graph);
          },
  };
  return functions;
}

at::Tensor forward(Module& network, const Inputs& inputs) {
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  return network.forward(inputs).toTensor();
}

/** Runs as on the device: what is started reads and writes where the recorded call did. */
Recordings::Network on_device(Module& network, int& queued) {
  return [&](const Inputs& inputs) {
    ++queued;
    at::Tensor output = forward(network, inputs);
    device.done = [&network, inputs, output] { output.copy_(forward(network, inputs)); };
    return output;
  };
}

Inputs inputs_for(const at::Tensor& text, int64_t height = 8) {
  return {at::randn({2, 4, 3, height, 16}), at::full({2}, 481.0, at::kFloat), text, false, true};
}

at::Tensor parameter(const Module& network, const std::string& name) {
  for (const auto& each : network.named_parameters()) {
    if (each.name == name) return each.value;
  }
  throw std::runtime_error("there is no parameter " + name);
}

struct Pair {
  Module plain = networks::load("tiny-unet_motion");
  Module network = networks::load("tiny-unet_motion");

  Pair() {
    networks::fill(plain);
    // Each its own, which may change.
    Module copied = plain.clone();
    networks::share(copied, network);
    animatediff::cuda::replace_modules(network);
    animatediff::cuda::pack_weights(network);
  }
};

/** A network, its recordings and a device that has recorded nothing. */
struct Scene {
  Pair pair;
  Recordings recordings{made_up};
  int queued = 0;
  Recordings::Network network = on_device(pair.network, queued);

  Scene() { device = {}; }
};

void expect_same(const char* what, const at::Tensor& actual, const at::Tensor& expected) {
  cases::expect_close(what, actual, expected, 2e-4);
}

void steps_and_prompts_agree() {
  Scene scene;
  auto& [pair, recordings, queued, network] = scene;
  const auto step = [&](const char* what, const at::Tensor& text) {
    const Inputs inputs = inputs_for(text);
    expect_same(what, scene.recordings.call(inputs, kText, scene.network), forward(scene.pair.plain, inputs));
  };

  const at::Tensor first = at::randn({2, 77, 32});
  step("queued", first);
  EXPECT(queued == 1 && device.recorded == 0);
  step("recorded", first);
  EXPECT(queued == 2 && device.recorded == 1 && device.started == 1);
  step("started again", first);
  EXPECT(queued == 2 && device.started == 2);

  // Keys and values are not computed again: they do not follow a weight that changes behind one text's back.
  const std::string name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight";
  const at::Tensor changed = parameter(pair.network, name);
  changed.mul_(3);
  step("the same text", first);
  // A LoRA changes weights in their place, and the next generation brings a text of its own.
  parameter(pair.plain, name).mul_(3);
  step("the same prompt with a LoRA", first.clone());
  step("another prompt", at::randn({2, 77, 32}));
  step("its next step", first);
  EXPECT(queued == 2 && device.recorded == 1);
  EXPECT(recordings.problem().empty());

  recordings.clear();
  EXPECT(device.freed == 1);
  step("after all is given up", first);
  EXPECT(queued == 3 && device.recorded == 1);
}

void refusals_are_told() {
  Scene scene;
  auto& [pair, recordings, queued, network] = scene;
  device.refuses = true;
  const at::Tensor text = at::randn({2, 77, 32});
  for (int step = 0; step < 4; ++step) {
    const Inputs inputs = inputs_for(step < 3 ? text : at::randn({2, 77, 32}));
    expect_same("without a recording", recordings.call(inputs, kText, network), forward(pair.plain, inputs));
  }
  EXPECT(recordings.problem() == "the device cannot record");
  EXPECT(device.started == 0);
  EXPECT(queued == 5);  // one attempt to record among four steps
}

void few_shapes_are_kept() {
  Scene scene;
  auto& [pair, recordings, queued, network] = scene;
  const at::Tensor text = at::randn({2, 77, 32});
  for (int64_t height = 8; height <= 40; height += 8) {
    for (int step = 0; step < 2; ++step) recordings.call(inputs_for(text, height), kText, network);
  }
  EXPECT(device.recorded == 5 && device.freed == 1);
  const Inputs inputs = inputs_for(text, 40);
  expect_same("the last shape", recordings.call(inputs, kText, network), forward(pair.plain, inputs));
  EXPECT(queued == 10);
  recordings.call(inputs_for(text, 8), kText, network);
  EXPECT(queued == 11);  // the first shape's was given up
}

}  // namespace

int main() {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  at::manual_seed(5);
  steps_and_prompts_agree();
  refusals_are_told();
  few_shapes_are_kept();
  return check::finish("recordings");
}
