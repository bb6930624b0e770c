// What compute capability 9.0 has of its own: matrices that a copy engine brings into shared memory, and products of
// them by a group of four warps. PTX ISA: cp.async.bulk.tensor, mbarrier, wgmma.
//
// A tile lies in shared memory as rows of 128 bytes, whose 16-byte pieces are permuted within each 1024 bytes (the
// 128-byte swizzle): tiles begin at multiples of 1024 bytes.
#pragma once

#include "vector.h"

#ifdef __CUDACC__
#include <cuda.h>
#endif

namespace animatediff::cuda {

inline constexpr int kWarpGroup = 128;
/** Bytes of a row of a tile, and elements of 16 bits. */
inline constexpr int kRowBytes = 128;
inline constexpr int kRowElements = kRowBytes / 2;
/** Shared memory that a block can have there. */
inline constexpr int64_t kMostSharedBytes = 227 * 1024;

/** A tensor of 16-bit elements in memory, up to four dimensions, the first without gaps, and the tile that is copied.
 */
struct TensorView {
  Type type;
  const void* data;
  int64_t sizes[4];
  /** Bytes, of all but the first; multiples of 16. */
  int64_t strides[3];
  /** Elements; the first is at most a row of a tile. */
  int tile[4];
};

}  // namespace animatediff::cuda

#ifndef __CUDACC__
#include "../test/emulated_hopper.h"
#else

namespace animatediff::cuda {

using TensorMap = CUtensorMap;

/** Null, or why there is none. */
inline const char* make_tensor_map(const TensorView& view, TensorMap& map) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const auto encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const auto status =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
    return status == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
  }();
  if (encode == nullptr) return "the driver does not describe tensors to the copy engine";
  cuuint64_t sizes[4];
  cuuint64_t strides[3];
  cuuint32_t tile[4];
  const cuuint32_t steps[4] = {1, 1, 1, 1};
  for (int i = 0; i < 4; ++i) {
    sizes[i] = static_cast<cuuint64_t>(view.sizes[i]);
    tile[i] = static_cast<cuuint32_t>(view.tile[i]);
    if (i < 3) strides[i] = static_cast<cuuint64_t>(view.strides[i]);
  }
  const auto type = view.type == Type::kFloat16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const CUresult status =
      encode(&map, type, 4, const_cast<void*>(view.data), sizes, strides, tile, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return status == CUDA_SUCCESS ? nullptr : "the copy engine does not take a tensor of these sizes and strides";
}

/** As `launch`, with more shared memory, and blocks in clusters of so many. */
template <typename... Parameters>
const char* launch_clusters(void (*kernel)(Parameters...), int64_t blocks, int cluster, int threads,
                            int64_t shared_bytes, const Queue& queue,
                            const std::type_identity_t<Parameters>&... arguments) {
  if (blocks > std::numeric_limits<int32_t>::max()) return "the tensor needs more blocks than a CUDA grid has";
  cudaError_t status = cudaSetDevice(queue.device);
  if (status == cudaSuccess) {
    status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  }
  if (status == cudaSuccess) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
    config.stream = static_cast<cudaStream_t>(queue.stream);
    config.attrs = &attribute;
    config.numAttrs = 1;
    status = cudaLaunchKernelEx(&config, kernel, arguments...);
  }
  if (status == cudaSuccess) return nullptr;
  static_cast<void>(cudaGetLastError());
  return cudaGetErrorString(status);
}

/** An address within shared memory. */
using Shared = uint32_t;

/** The dynamic shared memory from its first multiple of 1024 bytes on: ask for 1024 bytes more. */
__device__ __forceinline__ Shared shared_start() {
  return (static_cast<Shared>(__cvta_generic_to_shared(shared_memory<char>())) + 1023U) & ~1023U;
}

/** Other memory may be read before and after: what follows it needs `show_to_copies`. */
__device__ __forceinline__ void store_word(Shared target, uint32_t word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(target), "r"(word));
}

// Barriers in shared memory, 8 bytes each. A phase ends when all have arrived and all bytes that were announced are
// there; phases count 0, 1, 0, ...

__device__ __forceinline__ void start_barrier(Shared barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/** Behind the last `start_barrier`, by the thread that called it; then all must meet. */
__device__ __forceinline__ void show_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ void arrive(Shared barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/** At the barrier in the same place of another block of the cluster. */
__device__ __forceinline__ void arrive_at(Shared barrier, uint32_t rank) {
  asm volatile(
      "{\n.reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(barrier),
      "r"(rank)
      : "memory");
}

__device__ __forceinline__ void arrive_expecting(Shared barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/** Until the phase of this parity has ended. */
__device__ __forceinline__ void wait(Shared barrier, int parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra.uni over;\n"
      "bra.uni again;\n"
      "over:\n}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

__device__ __forceinline__ void meet_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/** Rank of this block in its cluster. */
__device__ __forceinline__ uint32_t cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

/** `threads` of the block wait for one another at the named barrier `id`, 1 to 15. */
__device__ __forceinline__ void meet(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// One thread starts a copy. Elements beyond the tensor come as zeros and are not written.

__device__ __forceinline__ void load_tile(const TensorMap& map, Shared barrier, Shared target, int x, int y, int z = 0,
                                          int w = 0) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(target),
      "l"(&map), "r"(barrier), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

/** To the same place, with the same barrier, of the blocks in `blocks`. */
__device__ __forceinline__ void load_tile_for(uint16_t blocks, const TensorMap& map, Shared barrier, Shared target,
                                              int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%3, %4, %5, %5}], [%2], %6;" ::"r"(target),
      "l"(&map), "r"(barrier), "r"(x), "r"(y), "r"(0), "h"(blocks)
      : "memory");
}

__device__ __forceinline__ void store_tile(const TensorMap& map, Shared source, int x, int y) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %4}], [%1];" ::"l"(&map),
               "r"(source), "r"(x), "r"(y), "r"(0)
               : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/** What this thread's `store_tile`s read may be overwritten. */
__device__ __forceinline__ void wait_for_stores() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }

/** What this thread wrote to shared memory is seen by the copy engine, once the threads have met. */
__device__ __forceinline__ void show_to_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/** Registers of each thread of this group of warps. */
template <int kCount, bool kMore>
__device__ __forceinline__ void take_registers() {
  if constexpr (kMore) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
  else asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

// Products. Lane l of warp w holds of sum[64, n] rows 16 w + l / 4 and 8 more, columns 8 i + 2 (l % 4) and the next, as
// sum[4 i] to sum[4 i + 3]. The operand from registers is laid out as tiles.h says, 16 columns at a time.

/** Before registers that were touched since are used by products. */
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/** Until at most so many groups of products that ended run. */
template <int kRunning>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kRunning) : "memory");
}
/** 2^x, by the processor's approximation. */
__device__ __forceinline__ float power_of_two(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

/** The compiler must not move what touches the sums across this. */
template <int kCount>
__device__ __forceinline__ void pin(float (&sums)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

}  // namespace animatediff::cuda

#include "hopper_products.h"
#endif

namespace animatediff::cuda {

/**
 * A matrix in a tile for products: its rows are the tile's (elements of the sum over k lie side by side), or, for the
 * transposed form, its columns are, and every 64 columns another tile follows, `next_tile` bytes further.
 */
__device__ __forceinline__ uint64_t matrix_at(Shared tile, int next_tile = 16) {
  constexpr uint64_t kEightRows = 8 * kRowBytes;
  return (static_cast<uint64_t>(tile) >> 4) | (static_cast<uint64_t>(next_tile >> 4) << 16) |
         ((kEightRows >> 4) << 32) | (uint64_t{1} << 62);
}

/** The matrix so many bytes further on: 32 for the next 16 elements of each row, 2048 for the next 16 rows. */
__device__ __forceinline__ uint64_t further(uint64_t matrix, int bytes) {
  return matrix + (static_cast<uint64_t>(bytes) >> 4);
}

/** Where the word of columns `column` (even) and the next lies in a tile. */
__device__ __forceinline__ Shared word_at(Shared tile, int row, int column) {
  const int place = row * kRowBytes + column * 2;
  return tile + static_cast<Shared>(place ^ ((place >> 3) & 0x70));
}

}  // namespace animatediff::cuda
