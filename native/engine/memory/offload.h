// Networks whose parameters need not lie where they run.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <torch/csrc/jit/api/module.h>

#include <optional>

namespace animatediff {

/**
 * Lets every function of `network` copy a parameter to the device of the call when it uses it, and drop the copy after.
 * Parameters that lie there already are used as they are. Must come before the first call.
 */
void fetch_parameters_on_use(const torch::jit::Module& network);

/** A parameter on the device of the call: what operators that read modules themselves must use. */
at::Tensor fetched(const at::Tensor& parameter);

/** While one lives, networks on this thread run on `device`. */
class DeviceOfCall {
 public:
  explicit DeviceOfCall(c10::Device device);
  DeviceOfCall(const DeviceOfCall&) = delete;
  DeviceOfCall& operator=(const DeviceOfCall&) = delete;
  ~DeviceOfCall();

 private:
  std::optional<c10::Device> outer_;
};

}  // namespace animatediff
