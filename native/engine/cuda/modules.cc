#include "modules.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "attention.h"
#include "layers.h"
#include "text_keys.h"

namespace animatediff::cuda {
namespace {

int64_t samples(const at::Tensor& x, int64_t frames, bool over_frames) {
  return over_frames ? x.size(0) / frames : x.size(0);
}

/** Second half of a ResNet block: `hidden` lacks `shift`, [m, channels], which holds the first convolution's bias. */
at::Tensor finish_resnet(const Part& self, const at::Tensor& x, const at::Tensor& hidden, const at::Tensor& shift,
                         int64_t count) {
  const at::Tensor normed = normalise_groups(hidden, self["norm2"], count, true, shift);
  const at::Tensor y = convolution_without_bias(normed, self["conv2"]);
  const at::Tensor residual = self.has("conv_shortcut") ? project(tokens(x), self["conv_shortcut"]) : tokens(x);
  operators::add_bias_residual_(tokens(y), self["conv2"].optional("bias"), residual);
  return y;
}

/** [n, tokens, width] with heads [n, heads, tokens, width / heads], and back. */
at::Tensor to_heads(const at::Tensor& x, int64_t heads) { return x.unflatten(2, {heads, -1}).transpose(1, 2); }
at::Tensor from_heads(const at::Tensor& x) { return x.transpose(1, 2).flatten(2); }

// The following add to x in place: nobody else holds the hidden state of a block.

void attend_to_itself(const Part& self, const at::Tensor& normed, const at::Tensor& x) {
  const int64_t heads = self.integer("heads");
  const auto parts = fused_projection(normed, self).chunk(3, 2);
  const at::Tensor out = attention(to_heads(parts[0], heads), to_heads(parts[1], heads), to_heads(parts[2], heads));
  project_onto(from_heads(out), self["to_out"]["0"], x, x);
}

void attend_to_text(const Part& self, const at::Tensor& normed, const at::Tensor& text, const at::Tensor& x) {
  const int64_t heads = self.integer("heads");
  // Consecutive frames share a text: their queries go behind one another.
  const at::Tensor queries = project(normed, self["to_q"]).view({text.size(0), -1, x.size(2)});
  const auto [keys, values] = TextKeys::of(text, self);
  const at::Tensor out = attention(to_heads(queries, heads), to_heads(keys, heads), to_heads(values, heads));
  project_onto(from_heads(out).view(x.sizes()), self["to_out"]["0"], x, x);
}

/** x [clips * frames, pixels, width]. */
void attend_over_frames(const Part& self, const at::Tensor& normed, int64_t frames, const at::Tensor& x) {
  const at::Tensor qkv = fused_projection(normed, self).unflatten(0, {-1, frames});
  const at::Tensor out = operators::temporal_attention(qkv, self.integer("heads"));
  project_onto(out.flatten(0, 1), self["to_out"]["0"], x, x);
}

}  // namespace

at::Tensor plain_group_norm(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  return normalise_groups(x, self, x.size(0));
}

at::Tensor frame_group_norm(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  return normalise_groups(x, self, samples(x, inputs[1].toInt(), inputs[2].toBool()));
}

at::Tensor unet_resnet(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const int64_t count = samples(x, inputs[2].toInt(), inputs[3].toBool());
  const at::Tensor hidden = convolution_without_bias(normalise_groups(x, self["norm1"], count, true), self["conv1"]);
  const at::Tensor embedding = cpu::first_rows(inputs[1].toTensor(), x.size(0) / inputs[2].toInt());
  const at::Tensor time = project(embedding, self["time_emb_proj"]);
  return finish_resnet(self, x, hidden, time + self["conv1"].tensor("bias"), count);
}

at::Tensor vae_resnet(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const at::Tensor hidden =
      convolution_without_bias(normalise_groups(x, self["norm1"], x.size(0), true), self["conv1"]);
  return finish_resnet(self, x, hidden, self["conv1"].tensor("bias").unsqueeze(0), x.size(0));
}

at::Tensor unet_upsample(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const int64_t height = inputs[1].toInt();
  const int64_t width = inputs[2].toInt();
  const Part layer = self["conv"];
  if (height == 2 * x.size(2) && width == 2 * x.size(3)) return upsampled_convolution(x, layer);
  // The skip connection had an odd size.
  const at::Tensor larger = at::upsample_nearest2d(x, {height, width});
  return channels_last(at::conv2d(larger, layer.tensor("weight"), layer.optional("bias"), 1, 1));
}

at::Tensor unet_skip(const Part& /*self*/, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const at::Tensor joined = operators::join_channels(tokens(x), tokens(channels_last(inputs[1].toTensor())));
  return picture(joined, x);
}

at::Tensor vae_upsample(const Part& self, Inputs inputs) {
  return upsampled_convolution(channels_last(inputs[0].toTensor()), self["conv"]);
}

at::Tensor spatial_transformer(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const at::Tensor text = inputs[1].toTensor();
  at::Tensor hidden = project(tokens(normalise_groups(x, self["norm"], x.size(0))), self["proj_in"]);
  const Part block = self["transformer_blocks"]["0"];
  attend_to_itself(block["attn1"], normalise(hidden, block["norm1"]), hidden);
  // What was the same for all parts of the text.
  const int64_t repeats = inputs[2].toInt();
  hidden = cpu::repeated(hidden, repeats);
  attend_to_text(block["attn2"], normalise(hidden, block["norm2"]), text, hidden);
  add_gated_feed_forward(block["ff"], normalise(hidden, block["norm3"]), hidden);
  const at::Tensor whole = cpu::repeated(x, repeats);
  return picture(project(hidden, self["proj_out"], tokens(whole)), whole);
}

at::Tensor temporal_transformer(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const int64_t frames = inputs[1].toInt();
  const at::Tensor normed = normalise_groups(x, self["norm"], samples(x, frames, inputs[2].toBool()));
  // Frames stay where they are; only the attention itself reads across them.
  const at::Tensor hidden = project(tokens(normed), self["proj_in"]);
  const Part block = self["transformer_blocks"]["0"];
  for (const char* const layer : {"0", "1"}) {
    const Part attention = block["attention_blocks"][layer];
    const at::Tensor positions = attention["pos_encoder"].tensor("pe")[0].narrow(0, 0, frames);
    attend_over_frames(attention, normalise(hidden, block["norms"][layer], positions), frames, hidden);
  }
  add_gated_feed_forward(block["ff"], normalise(hidden, block["ff_norm"]), hidden);
  return picture(project(hidden, self["proj_out"], tokens(x)), x);
}

}  // namespace animatediff::cuda
