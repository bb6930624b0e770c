// What products.cc takes of cuBLASLt: declared here, since NVIDIA's packages with nvcc lack its header, and stable
// since CUDA 11. LibTorch brings the library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace animatediff::cuda::lt {

using Handle = struct cublasLtContext*;
using Operation = struct cublasLtMatmulDescOpaque_t*;
using Layout = struct cublasLtMatrixLayoutOpaque_t*;
using Preference = struct cublasLtMatmulPreferenceOpaque_t*;

struct Algorithm {
  uint64_t data[8];
};

struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};

// cudaDataType
inline constexpr int kFloat32 = 0;
inline constexpr int kFloat16 = 2;
inline constexpr int kBFloat16 = 14;
// cublasComputeType_t
inline constexpr int kComputeFloat32 = 68;
// cublasOperation_t
inline constexpr int32_t kTransposed = 1;
// cublasLtMatmulDescAttributes_t
inline constexpr int kTransposeLeft = 3;
inline constexpr int kEpilogue = 7;
inline constexpr int kBiasPointer = 8;
// cublasLtEpilogue_t
inline constexpr uint32_t kAddBias = 4;
// cublasLtMatmulPreferenceAttributes_t
inline constexpr int kMostWorkspace = 1;
/** Of A, B, C and D. */
inline constexpr int kLeastAlignments[] = {5, 6, 7, 8};

extern "C" {
int cublasLtCreate(Handle* handle);
int cublasLtMatmulDescCreate(Operation* operation, int compute, int scale);
int cublasLtMatmulDescDestroy(Operation operation);
int cublasLtMatmulDescSetAttribute(Operation operation, int attribute, const void* value, size_t bytes);
int cublasLtMatrixLayoutCreate(Layout* layout, int type, uint64_t rows, uint64_t columns, int64_t stride);
int cublasLtMatrixLayoutDestroy(Layout layout);
int cublasLtMatmulPreferenceCreate(Preference* preference);
int cublasLtMatmulPreferenceDestroy(Preference preference);
int cublasLtMatmulPreferenceSetAttribute(Preference preference, int attribute, const void* value, size_t bytes);
int cublasLtMatmulAlgoGetHeuristic(Handle handle, Operation operation, Layout a, Layout b, Layout c, Layout d,
                                   Preference preference, int wanted, Heuristic* found, int* count);
int cublasLtMatmul(Handle handle, Operation operation, const void* alpha, const void* a, Layout a_layout, const void* b,
                   Layout b_layout, const void* beta, const void* c, Layout c_layout, void* d, Layout d_layout,
                   const Algorithm* algorithm, void* workspace, size_t bytes, void* stream);
}  // extern "C"

}  // namespace animatediff::cuda::lt
