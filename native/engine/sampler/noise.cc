#include "noise.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>

namespace animatediff {

at::Generator cpu_generator(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

at::Tensor gaussian(at::IntArrayRef shape, std::vector<at::Generator>& generators) {
  std::vector<int64_t> one(shape.begin(), shape.end());
  one[0] = 1;
  std::vector<at::Tensor> clips;
  clips.reserve(generators.size());
  for (auto& generator : generators) clips.push_back(at::randn(one, generator, at::TensorOptions().dtype(at::kFloat)));
  return at::cat(clips, 0);
}

}  // namespace animatediff
