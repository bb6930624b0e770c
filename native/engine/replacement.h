// Replaces the forward() of a loaded graph's modules by single operators.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <span>

#include "cpu/part.h"

namespace animatediff {

struct Replacement {
  /** The inputs of the module's forward() after `self`, as TorchScript passes them. */
  using Inputs = std::span<const c10::IValue>;

  /** Python module and class of scripts/graphs or torch. */
  const char* module;
  const char* name;
  /** The operator's name, which no other table has, and its inputs after `self`. */
  const char* signature;
  at::Tensor (*body)(const cpu::Part& self, Inputs inputs);
};

/** The one for modules of this class, or null. */
const Replacement* find_replacement(std::span<const Replacement> table, const c10::ClassType& type);

/** Replaces what `table`, which lives as long as the process, has something for. Must come before the first call. */
void replace_modules(const torch::jit::Module& network, std::span<const Replacement> table);

}  // namespace animatediff
