// A module of a loaded graph as the store of its parameters.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <optional>
#include <string>
#include <vector>

#include "../memory/offload.h"

namespace animatediff::cpu {

/** Borrowed: the graph must outlive it. Names are those of scripts/graphs; an unknown one throws. */
class Part {
 public:
  explicit Part(const c10::IValue& module) : object_(module.toObject().get()) {}

  [[nodiscard]] bool has(const std::string& name) const {
    const auto slot = object_->type()->findAttributeSlot(name);
    return slot.has_value() && !object_->getSlot(*slot).isNone();
  }

  [[nodiscard]] Part operator[](const std::string& name) const { return Part(object_->getAttr(name)); }

  [[nodiscard]] at::Tensor tensor(const std::string& name) const { return fetched(object_->getAttr(name).toTensor()); }

  [[nodiscard]] std::optional<at::Tensor> optional(const std::string& name) const {
    return has(name) ? std::optional(tensor(name)) : std::nullopt;
  }

  [[nodiscard]] int64_t integer(const std::string& name) const { return value(name).toInt(); }
  [[nodiscard]] std::vector<int64_t> integers(const std::string& name) const {
    std::vector<int64_t> result;
    for (const auto& item : value(name).toTupleRef().elements()) result.push_back(item.toInt());
    return result;
  }
  [[nodiscard]] double number(const std::string& name) const { return value(name).toDouble(); }

  void set(const std::string& name, const at::Tensor& value) const { object_->setAttr(name, value); }

  /** Tells modules from one another. */
  [[nodiscard]] const void* identity() const { return object_; }

  /** `ResnetBlock` of `__torch__.graphs.unet.___torch_mangle_81.ResnetBlock`. */
  [[nodiscard]] std::string class_name() const { return object_->type()->name()->name(); }

 private:
  // TorchScript keeps some numbers as attributes of the object and some as constants of its class.
  [[nodiscard]] c10::IValue value(const std::string& name) const {
    const auto constant = object_->type()->findConstant(name);
    return constant.has_value() ? *constant : object_->getAttr(name);
  }

  c10::ivalue::Object* object_;
};

}  // namespace animatediff::cpu
