// The CUDA kernels' sources on the host (emulated_cuda.h), over random shapes, against the CPU's operators.

#include "../cuda/operators.h"

#include <ATen/Parallel.h>

#include "emulated_cuda.h"
#include "operator_cases.h"

namespace animatediff::cuda {

Queue queue_of(const at::Tensor&) { return {nullptr, 0}; }
bool has_copy_engine(const Queue&) { return true; }

}  // namespace animatediff::cuda

namespace {

constexpr cases::Operators kEmulated{animatediff::cuda::token_group_norm,
                                     animatediff::cuda::token_layer_norm,
                                     animatediff::cuda::gated_gelu,
                                     animatediff::cuda::gated_linear,
                                     animatediff::cuda::head_attention,
                                     animatediff::cuda::add_bias_residual_,
                                     animatediff::cuda::temporal_attention,
                                     nullptr,  // cuBLASLt's
                                     animatediff::cuda::phase_weights,
                                     animatediff::cuda::corner_patches,
                                     animatediff::cuda::join_channels,
                                     animatediff::cuda::join_phases};

void kernels_do_what_the_operators_say(at::ScalarType type) {
  std::vector<at::Tensor> results;
  // A missing barrier shows in the other order of threads.
  for (const bool backwards : {false, true}) {
    emulated::backwards = backwards;
    cases::Calls calls(type, 2, kEmulated, cases::kRegistered, at::kCPU);
    calls.all(8);
    if (!backwards) results = calls.results();
    for (size_t i = 0; i < results.size(); ++i) EXPECT(results[i].equal(calls.results()[i]));
  }
}

// A large device splits a sample over more blocks than there is work for.
void statistics_may_be_split_at_will() {
  const at::Tensor x = at::randn({2, 300, 64});
  const at::Tensor weight = at::randn({64});
  for (const int multiprocessors : {1, 7, 64, 10000}) {
    emulated::multiprocessors = multiprocessors;
    const auto norm = [&](const cases::Operators& operators) {
      return operators.group_norm(x, weight, weight, std::nullopt, 1, 8, 1e-6, true);
    };
    cases::expect_close(cases::describe(multiprocessors, " multiprocessors"), norm(kEmulated), norm(cases::kRegistered),
                        1e-5);
  }
}

template <typename Call>
bool refused(const Call& call) {
  try {
    call();
    return false;
  } catch (const c10::Error&) {
    return true;
  }
}

void what_the_kernels_cannot_do_is_refused() {
  const at::Tensor row = at::randn({12});
  EXPECT(refused([&] { kEmulated.layer_norm(at::randn({1, 1, 12}), row, row, std::nullopt, 1e-5); }));
  EXPECT(refused([&] { kEmulated.temporal_attention(at::randn({1, 32, 1, 3 * 512}), 1); }));
  const at::Tensor wide = at::randn({1024});
  EXPECT(
      refused([&] { kEmulated.group_norm(at::randn({1, 1, 1024}), wide, wide, std::nullopt, 1, 256, 1e-5, false); }));
  const at::Tensor odd = at::randn({17}).narrow(0, 1, 16).view({1, 1, 16});
  EXPECT(refused([&] { kEmulated.gated_gelu(odd, std::nullopt); }));
}

}  // namespace

int main() {
  at::set_num_threads(1);
  for (const at::ScalarType type : cases::kTypes) kernels_do_what_the_operators_say(type);
  statistics_may_be_split_at_will();
  what_the_kernels_cannot_do_is_refused();
  return check::finish("cuda_kernels");
}
