// CUDA as far as native/cuda uses it, on the host: kernels run as they are, block after block, each thread of a block
// on a stack of its own until it meets a barrier.
//
// Stricter than a device, so that mistakes show: a barrier that some thread of the block (or lane of the warp) does not
// reach ends the program, shared memory starts as NaN and is guarded at its end, and `backwards` runs the threads in
// the other order, so that a missing barrier changes the result. Timing and caches it does not have.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

#include "../cuda/kernels.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
using __half = c10::Half;
using __nv_bfloat16 = c10::BFloat16;
inline float __half2float(__half value) { return value; }
inline float __bfloat162float(__nv_bfloat16 value) { return value; }
inline __half __float2half_rn(float value) { return value; }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return value; }
inline float __expf(float value) { return std::exp(value); }
inline float __fdividef(float left, float right) { return left / right; }
inline float rsqrtf(float value) { return 1.0F / std::sqrt(value); }
inline float __int_as_float(int value) { return std::bit_cast<float>(value); }
inline int __float_as_int(float value) { return std::bit_cast<int>(value); }

namespace emulated {

struct Index {
  unsigned x;
};

/** Of the device that is imitated. */
inline int multiprocessors = 3;
inline int compute_capability = 9;
/** Threads take their turns from the last to the first. */
inline bool backwards = false;

[[noreturn]] inline void stop(const char* why) {
  std::fprintf(stderr, "emulated CUDA: %s\n", why);
  std::abort();
}

struct Barrier {
  int expected = 0;
  int arrived = 0;
  int64_t generation = 0;
};

}  // namespace emulated

inline emulated::Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

/** Runs one block at a time. */
class Block {
 public:
  /** The one of this process. */
  static Block& current() {
    static Block block;
    return block;
  }

  void run(int threads, int64_t shared_bytes, const std::function<void()>& kernel) {
    if (threads % 32 != 0 || threads > 1024) stop("a block has whole warps, at most 32");
    constexpr size_t kGuard = 4096;
    memory_.assign(static_cast<size_t>(shared_bytes) / sizeof(uint4) + kGuard, uint4{~0U, ~0U, ~0U, ~0U});
    if (shared_bytes > 227 * 1024 || shared_bytes % 4 != 0) stop("bad size of shared memory");
    kernel_ = &kernel;
    block_ = Barrier{threads};
    warps_.assign(static_cast<size_t>(threads / 32), Barrier{32});
    named_.assign(16, Barrier{});
    threads_.resize(std::max(threads_.size(), static_cast<size_t>(threads)));
    for (int i = 0; i < threads; ++i) prepare(threads_[static_cast<size_t>(i)]);
    int alive = threads;
    while (alive > 0) {
      bool moved = false;
      for (int turn = 0; turn < threads; ++turn) {
        const int index = backwards ? threads - 1 - turn : turn;
        Thread& thread = threads_[static_cast<size_t>(index)];
        if (thread.done || (thread.barrier != nullptr && thread.barrier->generation == thread.generation)) continue;
        moved = true;
        thread.barrier = nullptr;
        running_ = &thread;
        threadIdx.x = static_cast<unsigned>(index);
        swapcontext(&scheduler_, &thread.context);
        if (thread.done) --alive;
      }
      if (!moved) stop("threads wait at a barrier that the others do not reach");
    }
    const auto* const bytes = reinterpret_cast<const unsigned char*>(memory_.data());
    for (size_t i = static_cast<size_t>(shared_bytes); i < memory_.size() * sizeof(uint4); ++i) {
      if (bytes[i] != 0xFF) stop("written behind the shared memory");
    }
  }

  void* shared() { return memory_.data(); }
  void wait_for_block() { wait(block_); }
  void wait_for_warp() { wait(warps_[threadIdx.x / 32]); }
  void wait_for(int id, int threads) {
    Barrier& barrier = named_.at(static_cast<size_t>(id));
    barrier.expected = threads;
    wait(barrier);
  }

  /** Lets the other threads run. */
  void give_way() {
    Thread& thread = *running_;
    const unsigned index = threadIdx.x;
    swapcontext(&thread.context, &scheduler_);
    threadIdx.x = index;
  }

  /** Exchanges a value between the lanes of a warp. */
  float exchange(float value, int lane_mask) {
    const size_t own = threadIdx.x;
    threads_[own].offered = value;
    wait_for_warp();
    const float other = threads_[own ^ static_cast<size_t>(lane_mask)].offered;
    wait_for_warp();
    return other;
  }

  using Words = std::array<uint32_t, 3>;

  /** What each lane of the warp gives, for all of them. */
  std::array<Words, 32> gather(const Words& words) {
    threads_[threadIdx.x].words = words;
    wait_for_warp();
    std::array<Words, 32> all;
    for (size_t lane = 0; lane < all.size(); ++lane) all[lane] = threads_[threadIdx.x / 32 * 32 + lane].words;
    wait_for_warp();
    return all;
  }

 private:
  struct Thread {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    Barrier* barrier;
    int64_t generation;
    float offered;
    std::array<uint32_t, 3> words;
    bool done;
  };

  void prepare(Thread& thread) {
    constexpr size_t kStack = size_t{64} * 1024;
    if (thread.stack == nullptr) thread.stack = std::make_unique<char[]>(kStack);
    thread.done = false;
    thread.barrier = nullptr;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = kStack;
    thread.context.uc_link = &scheduler_;
    makecontext(&thread.context, &Block::enter, 0);
  }

  static void enter() {
    Block& block = current();
    (*block.kernel_)();
    block.running_->done = true;
  }

  void wait(Barrier& barrier) {
    if (++barrier.arrived == barrier.expected) {
      barrier.arrived = 0;
      ++barrier.generation;
      return;
    }
    Thread& thread = *running_;
    const unsigned index = threadIdx.x;
    thread.barrier = &barrier;
    thread.generation = barrier.generation;
    swapcontext(&thread.context, &scheduler_);
    threadIdx.x = index;
  }

  ucontext_t scheduler_;
  std::vector<Thread> threads_;
  std::vector<Barrier> warps_;
  std::vector<Barrier> named_;
  Barrier block_;
  std::vector<uint4> memory_;
  const std::function<void()>* kernel_ = nullptr;
  Thread* running_ = nullptr;
};

}  // namespace emulated

inline void __syncthreads() { emulated::Block::current().wait_for_block(); }
inline void __syncwarp() { emulated::Block::current().wait_for_warp(); }
inline float __shfl_xor_sync(unsigned mask, float value, int lane_mask) {
  if (mask != ~0U) emulated::stop("only whole warps exchange values");
  return emulated::Block::current().exchange(value, lane_mask);
}

namespace animatediff::cuda {

template <typename T>
T* shared_memory() {
  return static_cast<T*>(emulated::Block::current().shared());
}

template <typename... Parameters>
const char* start(void (*kernel)(Parameters...), unsigned blocks, int threads, int64_t shared_bytes, const Queue&,
                  const Parameters&... arguments) {
  gridDim.x = blocks;
  blockDim.x = static_cast<unsigned>(threads);
  const std::function<void()> body = [&] { kernel(arguments...); };
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
    emulated::Block::current().run(threads, shared_bytes, body);
  }
  return nullptr;
}

inline int multiprocessors(const Queue&) { return emulated::multiprocessors; }
inline int compute_capability(const Queue&) { return emulated::compute_capability; }

}  // namespace animatediff::cuda
