#include "text_keys.h"

#include "layers.h"
#include "step_graph.h"

namespace animatediff::cuda {
namespace {

thread_local TextKeys* current = nullptr;

TextKeys::Pair computed(const at::Tensor& text, const cpu::Part& attention) {
  return {project(text, attention["to_k"]), project(text, attention["to_v"])};
}

}  // namespace

TextKeys::Use::Use(TextKeys& kept) : outer_(current) { current = &kept; }

TextKeys::Use::~Use() { current = outer_; }

TextKeys::Pair TextKeys::of(const at::Tensor& text, const cpu::Part& attention) {
  if (current == nullptr) return computed(text, attention);
  const auto known = current->entries_.find(attention.identity());
  if (known != current->entries_.end()) return known->second.pair;
  const Pair pair = computed(text, attention);
  // What is made while work is recorded lies in the recording's memory, and holds nothing yet.
  if (!StepGraph::is_recording()) current->entries_.emplace(attention.identity(), Entry{attention, pair});
  return pair;
}

void TextKeys::renew(const at::Tensor& text) {
  for (auto& [identity, entry] : entries_) {
    const Pair pair = computed(text, entry.attention);
    entry.pair.keys.copy_(pair.keys);
    entry.pair.values.copy_(pair.values);
  }
}

}  // namespace animatediff::cuda
