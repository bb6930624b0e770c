#include "replacement.h"

#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/custom_operator.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <unordered_set>

namespace animatediff {
namespace {

std::string operator_name(const Replacement& replacement) {
  const std::string signature = replacement.signature;
  return "animatediff::" + signature.substr(0, signature.find('('));
}

void run(const Replacement& replacement, size_t inputs, torch::jit::Stack& stack) {
  const auto arguments = torch::jit::last(stack, inputs);
  at::Tensor result = replacement.body(cpu::Part(arguments[0]), Replacement::Inputs(arguments.begin() + 1, inputs - 1));
  torch::jit::drop(stack, inputs);
  torch::jit::push(stack, std::move(result));
}

void register_operators(std::span<const Replacement> table) {
  static std::mutex mutex;
  static auto* const registered = new std::unordered_set<const Replacement*>();
  const std::lock_guard lock(mutex);
  if (!registered->insert(table.data()).second) return;
  for (const Replacement& replacement : table) {
    const std::string schema = std::string("animatediff::") + replacement.signature + " -> Tensor";
    const std::string inputs = replacement.signature;
    const auto count = 1 + static_cast<size_t>(std::count(inputs.begin(), inputs.end(), ','));
    torch::jit::registerOperator(torch::jit::Operator(
        schema, [&replacement, count](torch::jit::Stack& stack) { run(replacement, count, stack); },
        c10::AliasAnalysisKind::FROM_SCHEMA));
  }
}

void replace_forward(torch::jit::Function& forward, const Replacement& replacement) {
  const auto graph = torch::jit::toGraphFunction(forward).graph();
  torch::jit::Node* const node = graph->create(c10::Symbol::fromQualString(operator_name(replacement)));
  for (torch::jit::Value* const input : graph->inputs()) node->addInput(input);
  graph->appendNode(node);
  graph->block()->replaceOutput(0, node->output());
  // What led to the old output goes, last first, so that nothing is still in use.
  for (auto old = ++graph->nodes().rbegin(); old != graph->nodes().rend();) {
    torch::jit::Node* const useless = *old;
    ++old;
    useless->destroy();
  }
  graph->lint();
}

}  // namespace

// `__torch__.graphs.unet.___torch_mangle_81.ResnetBlock`: the same class with another number for other widths.
const Replacement* find_replacement(std::span<const Replacement> table, const c10::ClassType& type) {
  const auto& name = type.name();
  if (!name.has_value()) return nullptr;
  for (const Replacement& replacement : table) {
    const std::string prefix = std::string("__torch__.") + replacement.module;
    const std::string& given = name->prefix();
    const bool same = given == prefix || given.starts_with(prefix + ".___torch_mangle_");
    if (same && name->name() == replacement.name) return &replacement;
  }
  return nullptr;
}

void replace_modules(const torch::jit::Module& network, std::span<const Replacement> table) {
  register_operators(table);
  std::unordered_set<const c10::ClassType*> done;
  for (const auto& module : network.modules()) {
    const auto type = module.type();
    if (!done.insert(type.get()).second) continue;
    if (const Replacement* const replacement = find_replacement(table, *type)) {
      replace_forward(module.get_method("forward").function(), *replacement);
    }
  }
}

}  // namespace animatediff
