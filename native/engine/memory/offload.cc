#include "offload.h"

#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/custom_operator.h>

#include <unordered_set>
#include <vector>

namespace animatediff {
namespace {

thread_local std::optional<c10::Device> current;

constexpr const char* kFetch = "animatediff::fetch";
constexpr const char* kFetchOptional = "animatediff::fetch_optional";

void fetch(torch::jit::Stack& stack) {
  c10::IValue parameter = torch::jit::pop(stack);
  torch::jit::push(stack, parameter.isNone() ? std::move(parameter) : c10::IValue(fetched(parameter.toTensor())));
}

void register_operator() {
  static const bool registered = [] {
    for (const char* const schema : {"animatediff::fetch(Tensor parameter) -> Tensor",
                                     "animatediff::fetch_optional(Tensor? parameter) -> Tensor?"}) {
      torch::jit::registerOperator(torch::jit::Operator(schema, fetch, c10::AliasAnalysisKind::CONSERVATIVE));
    }
    return true;
  }();
  static_cast<void>(registered);
}

void parameters_of(torch::jit::Block* block, std::vector<torch::jit::Node*>& found) {
  for (torch::jit::Node* const node : block->nodes()) {
    // The bias of a convolution may be None.
    if (node->kind() == c10::prim::GetAttr && node->output()->type()->isSubtypeOf(*c10::OptionalType::ofTensor())) {
      found.push_back(node);
    }
    for (torch::jit::Block* const inner : node->blocks()) parameters_of(inner, found);
  }
}

void rewrite(torch::jit::Function& function) {
  const auto graph = torch::jit::toGraphFunction(function).graph();
  std::vector<torch::jit::Node*> parameters;
  parameters_of(graph->block(), parameters);
  for (torch::jit::Node* const parameter : parameters) {
    const auto type = parameter->output()->type();
    const bool always = type->isSubtypeOf(*c10::TensorType::get());
    const auto symbol = c10::Symbol::fromQualString(always ? kFetch : kFetchOptional);
    torch::jit::Node* const node = graph->create(symbol, {parameter->output()});
    node->output()->setType(type);
    node->insertAfter(parameter);
    parameter->output()->replaceAllUsesAfterNodeWith(node, node->output());
  }
  graph->lint();
}

}  // namespace

at::Tensor fetched(const at::Tensor& parameter) {
  if (!current.has_value() || parameter.device() == *current) return parameter;
  // The memory of the copy is used again when it is dropped; the stream keeps its uses in order.
  return parameter.to(*current, true);
}

void fetch_parameters_on_use(const torch::jit::Module& network) {
  register_operator();
  std::unordered_set<const c10::ClassType*> done;
  for (const auto& module : network.modules()) {
    const auto type = module.type();
    if (!done.insert(type.get()).second) continue;
    for (torch::jit::Function* const method : type->methods()) rewrite(*method);
  }
}

DeviceOfCall::DeviceOfCall(c10::Device device) : outer_(current) { current = device; }

DeviceOfCall::~DeviceOfCall() { current = outer_; }

}  // namespace animatediff
