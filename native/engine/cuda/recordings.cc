#include "recordings.h"

#include <algorithm>
#include <exception>
#include <sstream>

#include "../memory/exhaustion.h"

namespace animatediff::cuda {
namespace {

// Shapes that a pipeline goes back and forth between: with and without guidance, in two sizes.
constexpr size_t kMostEntries = 4;

std::string key_of(const Recordings::Inputs& inputs) {
  std::ostringstream key;
  for (const c10::IValue& input : inputs) {
    if (input.isTensor()) key << input.toTensor().scalar_type() << input.toTensor().sizes() << ' ';
    else key << input << ' ';
  }
  return key.str();
}

void copy_tensors(const Recordings::Inputs& from, const Recordings::Inputs& to) {
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i].isTensor()) to[i].toTensor().copy_(from[i].toTensor());
  }
}

}  // namespace

Recordings::Entry& Recordings::find(const std::string& key) {
  const auto found = std::ranges::find(entries_, key, &Entry::key);
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
  } else {
    if (entries_.size() == kMostEntries) entries_.pop_back();
    entries_.emplace_front();
    entries_.front().key = key;
  }
  return entries_.front();
}

void Recordings::record(Entry& entry, const Inputs& inputs, const Network& network) {
  for (const c10::IValue& input : inputs) {
    entry.inputs.push_back(input.isTensor() ? c10::IValue(input.toTensor().clone()) : input);
  }
  const auto other = std::ranges::find_if(entries_, [](const Entry& each) { return each.graph != nullptr; });
  try {
    entry.graph = std::make_unique<StepGraph>(functions_(), inputs.front().toTensor().device(),
                                              other == entries_.end() ? nullptr : other->graph.get(),
                                              [&] { entry.output = network(entry.inputs); });
  } catch (const std::exception& error) {
    entry.inputs.clear();
    entry.output.reset();
    if (exhaustion(std::current_exception()).has_value()) throw;
    entry.problem = error.what();
  }
}

at::Tensor Recordings::call(const Inputs& inputs, size_t text, const Network& network) {
  const std::string key = key_of(inputs);
  const bool again = std::ranges::find(entries_, key, &Entry::key) != entries_.end();
  Entry& entry = find(key);
  if (!entry.text.is_same(inputs[text].toTensor())) {
    entry.text.reset();  // should what follows fail
    entry.keys.renew(inputs[text].toTensor());
    entry.text = inputs[text].toTensor();
  }
  const TextKeys::Use use(entry.keys);
  if (again && entry.graph == nullptr && entry.problem.empty()) record(entry, inputs, network);
  problem_ = entry.problem;
  if (entry.graph == nullptr) return network(inputs);
  copy_tensors(inputs, entry.inputs);
  entry.graph->replay();
  return entry.output;
}

}  // namespace animatediff::cuda
