// Keys and values of the text, which every step of a generation uses again.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "attention.h"

namespace animatediff::cpu {

/** While one lives, cross-attentions on this thread compute keys and values once for each text and layer. */
class TextCache {
 public:
  TextCache();
  TextCache(const TextCache&) = delete;
  TextCache& operator=(const TextCache&) = delete;
  ~TextCache();

  /** What `make` gives for this text and this layer's weight; without a cache it is made anew each time. */
  static PackedText get(const at::Tensor& text, const at::Tensor& weight, const std::function<PackedText()>& make);

 private:
  // Holding both tensors keeps their addresses from being used again.
  struct Entry {
    at::Tensor text;
    at::Tensor weight;
    PackedText packed;
  };

  // By text and layer: pieces of a batch have texts of their own.
  std::map<std::pair<const void*, const void*>, Entry> entries_;
  TextCache* outer_;
};

}  // namespace animatediff::cpu
