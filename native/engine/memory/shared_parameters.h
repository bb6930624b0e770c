// Parameters that several pipelines of a process hold at once, instead of a copy each.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/UndefinedTensorImpl.h>

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "../animatediff.h"
#include "../source_files.h"

namespace animatediff {

/**
 * All that the bytes of a parameter depend on: the state of its file, the place in it, what is done with it, how its
 * network is laid out in the end. Nothing for a parameter with LoRAs or textual inversions, which its pipeline has for
 * itself. Throws AD_FILE_NOT_FOUND.
 */
std::optional<std::string> parameter_key(const ad_recipe& recipe, SourceFiles& files, c10::ScalarType dtype,
                                         c10::Device device, const std::string& layout);

/**
 * The parameters of all networks of the process by their keys. They live as long as a network holds them, and on a
 * device are written and read on its default stream. May be called on any thread.
 */
class SharedParameters {
 public:
  static SharedParameters& of_process();

  /** The parameter in any of its forms; undefined if no network holds it. */
  at::Tensor find(const std::string& key);

  /** Lets others find `tensor`. Returns the one to hold: another one, if one was there before. */
  at::Tensor offer(const std::string& key, const at::Tensor& tensor);

  /** `tensor` in another form, which `make` makes unless a network holds it. */
  at::Tensor in_form(const at::Tensor& tensor, const std::string& form, const std::function<at::Tensor()>& make);

  /**
   * Lets nobody find `tensor` any more, so that its values may change; false if others hold it. `references` are those
   * that the caller knows of.
   */
  bool withdraw(const at::Tensor& tensor, size_t references);

 private:
  using Weak = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;
  /** A key and a form; the empty one is that of `offer`. */
  using Name = std::pair<std::string, std::string>;

  at::Tensor offer_as(const Name& name, const at::Tensor& tensor);
  void forget_dropped();

  std::mutex mutex_;
  std::map<Name, Weak> tensors_;
  /** Addresses are not used again while a weak pointer is left. */
  std::unordered_map<const c10::TensorImpl*, Name> names_;
  size_t most_ = 0;
};

}  // namespace animatediff
