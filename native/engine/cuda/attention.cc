#include "attention.h"

#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "../memory/exhaustion.h"
#include "../operators/operators.h"
#include "step_graph.h"

namespace animatediff::cuda {
namespace {

using Kernel = at::Tensor (*)(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

at::Tensor by_own(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return operators::head_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2);
}

at::Tensor by_cudnn(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return std::get<0>(at::_scaled_dot_product_cudnn_attention(q, k, v, {}, false));
}

at::Tensor by_flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return std::get<0>(at::_scaled_dot_product_flash_attention(q, k, v));
}

at::Tensor by_efficient(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return std::get<0>(at::_scaled_dot_product_efficient_attention(q, k, v, {}, false));
}

at::Tensor by_default(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return at::scaled_dot_product_attention(q, k, v);
}

// In the order of preference where times are close.
constexpr std::array<Kernel, 4> kKernels{by_own, by_cudnn, by_flash, by_efficient};

// A later one must be so much faster than an earlier one: noise must not choose, so that equal machines give equal
// bits.
constexpr double kClearlyFaster = 0.9;

constexpr int kTimedCalls = 3;

/** Milliseconds of one call; infinite if the kernel is not for these tensors. */
double time(Kernel kernel, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const c10::impl::VirtualGuardImpl guard(q.device().type());
  const c10::Stream stream = guard.getStream(q.device());
  c10::Event begun(q.device().type(), c10::EventFlag::BACKEND_DEFAULT);
  c10::Event ended(q.device().type(), c10::EventFlag::BACKEND_DEFAULT);
  try {
    kernel(q, k, v);
    begun.record(stream);
    for (int call = 0; call < kTimedCalls; ++call) kernel(q, k, v);
    ended.record(stream);
    ended.synchronize();
    return begun.elapsedTime(ended) / kTimedCalls;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& problem) {
    if (names_exhaustion(problem.what_without_backtrace())) throw;
    return std::numeric_limits<double>::infinity();
  }
}

Kernel choose(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  Kernel best = by_default;
  double least = std::numeric_limits<double>::infinity();
  for (const Kernel kernel : kKernels) {
    const double taken = time(kernel, q, k, v);
    if (taken < least * kClearlyFaster || (best == by_default && taken < least)) {
      best = kernel;
      least = taken;
    }
  }
  return best;
}

using Key = std::vector<int64_t>;

Key key_of(const at::Tensor& q, const at::Tensor& k) {
  Key key{q.device().index(), static_cast<int64_t>(q.scalar_type()), k.size(2)};
  key.insert(key.end(), q.sizes().begin(), q.sizes().end());
  return key;
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  if (!q.is_cuda() || q.element_size() != 2) return by_default(q, k, v);
  static auto* const choices = new std::map<Key, Kernel>();
  static std::mutex mutex;
  const Key key = key_of(q, k);
  {
    const std::lock_guard lock(mutex);
    const auto known = choices->find(key);
    if (known != choices->end()) return known->second(q, k, v);
  }
  // What is recorded cannot be timed.
  if (StepGraph::is_recording()) return by_default(q, k, v);
  const Kernel chosen = choose(q, k, v);
  // What fails, as all of them do where memory is short, is not remembered.
  at::Tensor out = chosen(q, k, v);
  const std::lock_guard lock(mutex);
  choices->emplace(key, chosen);
  return out;
}

}  // namespace animatediff::cuda
