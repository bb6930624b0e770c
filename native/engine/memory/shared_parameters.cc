#include "shared_parameters.h"

#include <algorithm>
#include <sstream>

namespace animatediff {
namespace {

void add_source(std::ostringstream& key, const ad_source& source, SourceFiles& files) {
  key << ' ' << files.identity(source.file) << ' ' << source.offset << ' ' << source.dtype;
  for (int32_t i = 0; i < source.dims; ++i) {
    key << ' ' << source.shape[i];
    if (source.strides != nullptr) key << '/' << source.strides[i];
  }
}

}  // namespace

std::optional<std::string> parameter_key(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype,
                                         c10::Device device, const std::string& layout) {
  if (recipe.term_count > 0 || recipe.appended_count > 0) return std::nullopt;
  std::ostringstream key;
  key << recipe.target << ' ' << recipe.kind << ' ' << std::hexfloat << recipe.factor << ' ' << dtype << ' ' << device
      << ' ' << layout;
  for (int32_t i = 0; i < recipe.dims; ++i) key << ' ' << recipe.shape[i];
  if (recipe.source != nullptr) add_source(key, *recipe.source, files);
  return key.str();
}

SharedParameters& SharedParameters::of_process() {
  static auto* const instance = new SharedParameters();
  return *instance;
}

at::Tensor SharedParameters::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  for (auto found = tensors_.lower_bound({key, ""}); found != tensors_.end() && found->first.first == key; ++found) {
    if (auto tensor = found->second.lock()) return at::Tensor(std::move(tensor));
  }
  return {};
}

at::Tensor SharedParameters::offer(const std::string& key, const at::Tensor& tensor) {
  return offer_as({key, ""}, tensor);
}

at::Tensor SharedParameters::in_form(const at::Tensor& tensor, const std::string& form,
                                     const std::function<at::Tensor()>& make) {
  Name wanted;
  {
    const std::lock_guard lock(mutex_);
    const auto name = names_.find(tensor.unsafeGetTensorImpl());
    if (name != names_.end()) {
      wanted = {name->second.first, form};
      const auto found = tensors_.find(wanted);
      if (found != tensors_.end()) {
        if (auto made = found->second.lock()) return at::Tensor(std::move(made));
      }
    }
  }
  const at::Tensor made = make();
  return wanted.first.empty() ? made : offer_as(wanted, made);
}

bool SharedParameters::withdraw(const at::Tensor& tensor, size_t references) {
  const std::lock_guard lock(mutex_);
  const auto name = names_.find(tensor.unsafeGetTensorImpl());
  if (name == names_.end()) return true;
  if (tensor.use_count() > references) return false;
  tensors_.erase(name->second);
  names_.erase(name);
  return true;
}

at::Tensor SharedParameters::offer_as(const Name& name, const at::Tensor& tensor) {
  const std::lock_guard lock(mutex_);
  const auto known = tensors_.find(name);
  if (known != tensors_.end()) {
    if (auto other = known->second.lock()) return at::Tensor(std::move(other));
    names_.erase(known->second._unsafe_get_target());
    tensors_.erase(known);
  }
  // A tensor has one name: in two networks under the same key it is offered once.
  if (!names_.try_emplace(tensor.unsafeGetTensorImpl(), name).second) return tensor;
  tensors_.emplace(name, Weak(tensor.getIntrusivePtr()));
  if (tensors_.size() > most_) forget_dropped();
  return tensor;
}

void SharedParameters::forget_dropped() {
  std::erase_if(tensors_, [&](const auto& entry) {
    const bool dropped = entry.second.expired();
    if (dropped) names_.erase(entry.second._unsafe_get_target());
    return dropped;
  });
  most_ = 2 * std::max<size_t>(tensors_.size(), 1000);
}

}  // namespace animatediff
