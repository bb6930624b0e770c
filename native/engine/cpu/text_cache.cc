#include "text_cache.h"

namespace animatediff::cpu {
namespace {

thread_local TextCache* current = nullptr;

}  // namespace

TextCache::TextCache() : outer_(current) { current = this; }

TextCache::~TextCache() { current = outer_; }

PackedText TextCache::get(const at::Tensor& text, const at::Tensor& weight, const std::function<PackedText()>& make) {
  if (current == nullptr) return make();
  Entry& entry = current->entries_[{text.unsafeGetTensorImpl(), weight.unsafeGetTensorImpl()}];
  if (!entry.text.defined()) entry = {text, weight, make()};
  return entry.packed;
}

}  // namespace animatediff::cpu
