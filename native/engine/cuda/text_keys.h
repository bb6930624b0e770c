// Keys and values of the text, which every step of a generation uses again.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>

#include "../cpu/part.h"

namespace animatediff::cuda {

/** Those of one text in the cross-attentions of one network, which must outlive it. */
class TextKeys {
 public:
  /** [m, tokens, width] each. */
  struct Pair {
    at::Tensor keys;
    at::Tensor values;
  };

  /** While one lives, cross-attentions on this thread take what `kept` has and add to it what it lacks. */
  class Use {
   public:
    explicit Use(TextKeys& kept);
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use();

   private:
    TextKeys* outer_;
  };

  /** Keys and values of `text` [m, tokens, text width] in this layer, computed only where no `Use` knows them. */
  static Pair of(const at::Tensor& text, const cpu::Part& attention);

  /** Writes those of another text of the same shape over all that is kept, in its place, with today's weights. */
  void renew(const at::Tensor& text);

 private:
  struct Entry {
    cpu::Part attention;
    Pair pair;
  };

  std::map<const void*, Entry> entries_;
};

}  // namespace animatediff::cuda
