// Tensors that a call hands to its caller.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "animatediff.h"

/** Contiguous CPU tensors with names, in the order they were added. */
struct ad_result {
  std::vector<std::pair<std::string, at::Tensor>> tensors;

  void add(const std::string& name, const at::Tensor& tensor) {
    tensors.emplace_back(name, tensor.to(at::kCPU).contiguous());
  }
};
