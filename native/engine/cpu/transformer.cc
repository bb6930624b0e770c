// The spatial transformer of the UNet, and the motion module's temporal one.
#include "attention.h"
#include "modules.h"
#include "residual.h"
#include "text_cache.h"

namespace animatediff::cpu {
namespace {

at::Tensor attend_to_text(const Part& self, const at::Tensor& x, const at::Tensor& text, const at::Tensor& added) {
  const int64_t heads = self.integer("heads");
  const PackedText packed = TextCache::get(text, self["to_k"].tensor("weight"), [&] {
    return pack_text(linear(text, self["to_k"]), linear(text, self["to_v"]), heads);
  });
  return linear(text_attention(linear(x, self["to_q"]), packed, heads), self["to_out"]["0"], added);
}

at::Tensor attend_to_itself(const Part& self, const at::Tensor& x, const at::Tensor& added) {
  const at::Tensor out =
      self_attention(linear(x, self["to_q"]), linear(x, self["to_k"]), linear(x, self["to_v"]), self.integer("heads"));
  return linear(out, self["to_out"]["0"], added);
}

at::Tensor attend_over_frames(const Part& self, const at::Tensor& x, int64_t frames, const at::Tensor& added) {
  const at::Tensor out = temporal_attention(linear(x, self["to_q"]), linear(x, self["to_k"]), linear(x, self["to_v"]),
                                            self.integer("heads"), frames);
  return linear(out, self["to_out"]["0"], added);
}

}  // namespace

at::Tensor spatial_transformer(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const at::Tensor text = inputs[1].toTensor();
  const at::Tensor normed = group_norm(x, self["norm"], norm_options(self["norm"], x.size(0)));
  at::Tensor hidden = linear(tokens(normed), self["proj_in"]);
  const Part block = self["transformer_blocks"]["0"];
  hidden = attend_to_itself(block["attn1"], layer_norm(hidden, block["norm1"]), hidden);
  // What was the same for all parts of the text.
  const int64_t repeats = inputs[2].toInt();
  hidden = repeated(hidden, repeats);
  hidden = attend_to_text(block["attn2"], layer_norm(hidden, block["norm2"]), text, hidden);
  hidden = feed_forward(block["ff"], layer_norm(hidden, block["norm3"]), hidden);
  const at::Tensor whole = repeated(x, repeats);
  return picture(linear(hidden, self["proj_out"], tokens(whole)), whole);
}

at::Tensor temporal_transformer(const Part& self, Inputs inputs) {
  const at::Tensor x = channels_last(inputs[0].toTensor());
  const int64_t frames = inputs[1].toInt();
  const int64_t samples = inputs[2].toBool() ? x.size(0) / frames : x.size(0);
  const at::Tensor normed = group_norm(x, self["norm"], norm_options(self["norm"], samples));
  // Frames stay where they are; only the attention itself reads across them.
  at::Tensor hidden = linear(tokens(normed), self["proj_in"]);
  const Part block = self["transformer_blocks"]["0"];
  for (const char* const layer : {"0", "1"}) {
    const Part attention = block["attention_blocks"][layer];
    const at::Tensor positions = attention["pos_encoder"].tensor("pe")[0].narrow(0, 0, frames);
    hidden = attend_over_frames(attention, layer_norm(hidden, block["norms"][layer], positions), frames, hidden);
  }
  hidden = feed_forward(block["ff"], layer_norm(hidden, block["ff_norm"]), hidden);
  return picture(linear(hidden, self["proj_out"], tokens(x)), x);
}

}  // namespace animatediff::cpu
