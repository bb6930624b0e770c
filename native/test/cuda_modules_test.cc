// Graphs whose modules run with the operators, as on CUDA, against the same graphs as their archives have them: on the
// CPU, where both can run.

#include "../engine/cuda/replace.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>

#include "../engine/cpu/replace.h"
#include "networks.h"
#include "operator_cases.h"

namespace {

using networks::fill;
using networks::load;
using networks::Module;
using networks::run;
using networks::share;

/** Same parameters, same inputs, once plain and once with the operators, before and after a weight changes. */
void agree(const char* graph, const std::vector<c10::IValue>& inputs, const std::string& changed,
           at::ScalarType type = at::kFloat) {
  at::manual_seed(5);
  Module plain = load(graph);
  fill(plain);
  plain.to(type);
  Module replaced = load(graph);
  share(plain, replaced);
  animatediff::cuda::replace_modules(replaced);
  for (const bool again : {false, true}) {
    if (again) {
      for (Module* const module : {&plain, &replaced}) {
        Module part = *module;
        std::istringstream path(changed);
        for (std::string name; std::getline(path, name, '.');) part = part.attr(name).toModule();
        at::manual_seed(6);
        part.setattr("weight", (at::randn(part.attr("weight").toTensor().sizes()) * 0.1).to(type));
      }
    }
    animatediff::cuda::pack_weights(replaced);
    const at::Tensor expected = run(plain, inputs, type);
    EXPECT(expected.std().item<double>() > 0.05);
    cases::expect_close(cases::describe(graph, " in ", type, again ? " with a changed weight" : ""),
                        run(replaced, inputs, type), expected, type == at::kFloat ? 2e-4 : 0.03);
  }
  size_t packed = 0;
  auto original = plain.named_parameters().begin();
  for (const auto& parameter : replaced.named_parameters()) {
    const at::Tensor value = animatediff::cuda::unpacked(parameter.value);
    EXPECT(value.is_contiguous() && value.storage().nbytes() == value.nbytes());
    EXPECT(value.equal((*original).value));
    packed += value.is_same(parameter.value) ? 0 : 1;
    ++original;
  }
  EXPECT(packed > 0);
}

/** `texts`: one for each of the two clips, or one for each of their frames. */
void unet_agrees(const char* graph, int64_t text_width, int64_t texts, bool over_frames,
                 at::ScalarType type = at::kFloat) {
  agree(graph,
        {at::randn({2, 4, 3, 8, 16}), at::full({2}, 481.0, at::kFloat), at::randn({texts, 77, text_width}), over_frames,
         !over_frames},
        "mid_block.attentions.0.transformer_blocks.0.attn1.to_k", type);
}

/** Halves of guidance that share a sample give what they give with a sample each, plain and with the operators. */
void shared_samples_agree(const char* graph, int64_t text_width, int64_t texts) {
  at::manual_seed(5);
  const at::Tensor sample = at::randn({1, 4, 3, 8, 16});
  const at::Tensor time = at::full({2}, 481.0, at::kFloat);
  const at::Tensor text = at::randn({texts, 77, text_width});
  Module plain = load(graph);
  fill(plain);
  Module replaced = load(graph);
  share(plain, replaced);
  animatediff::cuda::replace_modules(replaced);
  Module packed = load(graph);
  share(plain, packed);
  animatediff::cpu::replace_modules(packed);
  animatediff::cpu::pack_weights(packed);
  const at::Tensor expected = run(plain, {at::cat({sample, sample}), time, text, false, true}, at::kFloat);
  EXPECT(expected.sizes() == at::IntArrayRef({2, 4, 3, 8, 16}));
  for (Module* const module : {&plain, &replaced, &packed}) {
    cases::expect_close(cases::describe(graph, " with a shared sample"),
                        run(*module, {sample, time, text, false, true}, at::kFloat), expected, 2e-4);
  }
}

void autoencoders_agree() {
  agree("tiny-vae_decoder", {at::randn({2, 4, 8, 8})}, "decoder.mid_block.resnets.0.conv1");
  agree("demo-vae_encoder", {at::randn({1, 3, 64, 32})}, "encoder.mid_block.resnets.0.conv1");
}

}  // namespace

int main() {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  unet_agrees("tiny-unet", 32, 2, false);
  unet_agrees("tiny-unet_motion", 32, 6, true);
  unet_agrees("demo-unet_motion_mid", 40, 2, false);
  // What a device runs by default: here for the types of tensors, whose mixture would throw.
  unet_agrees("tiny-unet_motion_mid", 32, 2, true, at::kHalf);
  shared_samples_agree("tiny-unet", 32, 2);
  shared_samples_agree("tiny-unet_motion_mid", 32, 6);
  autoencoders_agree();
  return check::finish("cuda_modules");
}
