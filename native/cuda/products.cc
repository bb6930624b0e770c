#include "products.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "cublas_lt.h"

namespace animatediff::cuda {
namespace {

// What LibTorch gives cuBLASLt on processors that use it most.
constexpr size_t kMostWorkspaceBytes = size_t{32} << 20;

int data_type(Type type) {
  switch (type) {
    case Type::kFloat32: return lt::kFloat32;
    case Type::kFloat16: return lt::kFloat16;
    case Type::kBFloat16: return lt::kBFloat16;
  }
  return lt::kFloat32;
}

template <typename Object, int (*kDestroy)(Object)>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (object_ != nullptr) kDestroy(object_);
  }

  Object* target() { return &object_; }
  Object get() const { return object_; }

 private:
  Object object_ = nullptr;
};

/** A product of given sizes. cuBLASLt counts in columns: out^T = weight x^T, of which each matrix is the transpose. */
struct Plan {
  Owned<lt::Operation, lt::cublasLtMatmulDescDestroy> operation;
  Owned<lt::Layout, lt::cublasLtMatrixLayoutDestroy> weight;
  Owned<lt::Layout, lt::cublasLtMatrixLayoutDestroy> x;
  Owned<lt::Layout, lt::cublasLtMatrixLayoutDestroy> out;
  lt::Heuristic choice{};
  const char* problem = nullptr;
};

/** Bytes that all pointers are multiples of, at most cuBLASLt's own 256. */
uint32_t alignment(const LinearResidual& call) {
  uintptr_t all = 256;
  for (const void* const pointer : {call.x, call.weight, call.residual, static_cast<const void*>(call.out)}) {
    all |= reinterpret_cast<uintptr_t>(pointer);
  }
  return static_cast<uint32_t>(all & ~(all - 1));
}

// cuBLASLt asks for a bias while it chooses; another one may follow.
std::unique_ptr<Plan> make_plan(Type type, const LinearResidual& call, uint32_t aligned, lt::Handle handle) {
  auto plan = std::make_unique<Plan>();
  const int element = data_type(type);
  const auto sizes = [](int64_t value) { return static_cast<uint64_t>(value); };
  Owned<lt::Preference, lt::cublasLtMatmulPreferenceDestroy> preference;
  const uint32_t epilogue = lt::kAddBias;
  int found = 0;
  const bool made =
      lt::cublasLtMatmulDescCreate(plan->operation.target(), lt::kComputeFloat32, lt::kFloat32) == 0 &&
      lt::cublasLtMatmulDescSetAttribute(plan->operation.get(), lt::kTransposeLeft, &lt::kTransposed,
                                         sizeof(lt::kTransposed)) == 0 &&
      (call.bias == nullptr ||
       (lt::cublasLtMatmulDescSetAttribute(plan->operation.get(), lt::kEpilogue, &epilogue, sizeof(epilogue)) == 0 &&
        lt::cublasLtMatmulDescSetAttribute(plan->operation.get(), lt::kBiasPointer, &call.bias, sizeof(call.bias)) ==
            0)) &&
      lt::cublasLtMatrixLayoutCreate(plan->weight.target(), element, sizes(call.inputs), sizes(call.outputs),
                                     call.inputs) == 0 &&
      lt::cublasLtMatrixLayoutCreate(plan->x.target(), element, sizes(call.inputs), sizes(call.rows), call.inputs) ==
          0 &&
      lt::cublasLtMatrixLayoutCreate(plan->out.target(), element, sizes(call.outputs), sizes(call.rows),
                                     call.outputs) == 0 &&
      lt::cublasLtMatmulPreferenceCreate(preference.target()) == 0 &&
      lt::cublasLtMatmulPreferenceSetAttribute(preference.get(), lt::kMostWorkspace, &kMostWorkspaceBytes,
                                               sizeof(kMostWorkspaceBytes)) == 0 &&
      std::ranges::all_of(lt::kLeastAlignments,
                          [&](int attribute) {
                            return lt::cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &aligned,
                                                                            sizeof(aligned)) == 0;
                          }) &&
      lt::cublasLtMatmulAlgoGetHeuristic(handle, plan->operation.get(), plan->weight.get(), plan->x.get(),
                                         plan->out.get(), plan->out.get(), preference.get(), 1, &plan->choice,
                                         &found) == 0;
  if (!made || found == 0) plan->problem = "cuBLASLt has no product of these sizes";
  return plan;
}

using Key = std::tuple<int, Type, int64_t, int64_t, int64_t, bool, uint32_t>;

// Those that stand for exhausted memory under their own names, by which the engine knows them; null for success.
const char* failure(int status, const char* otherwise) {
  switch (status) {
    case 0: return nullptr;
    case 1: return "cuBLASLt: CUBLAS_STATUS_NOT_INITIALIZED";
    case 3: return "cuBLASLt: CUBLAS_STATUS_ALLOC_FAILED";
    default: return otherwise;
  }
}

struct Products {
  std::mutex mutex;
  std::map<int, lt::Handle> handles;
  std::map<Key, std::unique_ptr<Plan>> plans;
};

}  // namespace

const char* linear_residual(Type type, const LinearResidual& call, const Queue& queue, Workspace& workspace) {
  static auto* const products = new Products();
  const std::lock_guard lock(products->mutex);
  const char* const problem = select_device(queue);
  if (problem != nullptr) return problem;
  lt::Handle& handle = products->handles[queue.device];
  if (handle == nullptr) {
    const int status = lt::cublasLtCreate(&handle);
    if (status != 0) {
      handle = nullptr;
      return failure(status, "cuBLASLt cannot be used");
    }
  }
  const uint32_t aligned = alignment(call);
  const Key key{queue.device, type, call.rows, call.inputs, call.outputs, call.bias != nullptr, aligned};
  std::unique_ptr<Plan>& plan = products->plans[key];
  if (plan == nullptr) plan = make_plan(type, call, aligned, handle);
  if (plan->problem != nullptr) {
    const char* const reason = plan->problem;
    plan.reset();  // it may have been for want of memory
    return reason;
  }
  if (call.bias != nullptr &&
      lt::cublasLtMatmulDescSetAttribute(plan->operation.get(), lt::kBiasPointer, &call.bias, sizeof(call.bias)) != 0) {
    return "cuBLASLt does not take the bias";
  }
  const float one = 1;
  const size_t bytes = plan->choice.workspace;
  void* const memory = bytes == 0 ? nullptr : workspace.take(bytes);
  const int status = lt::cublasLtMatmul(handle, plan->operation.get(), &one, call.weight, plan->weight.get(), call.x,
                                        plan->x.get(), &one, call.residual, plan->out.get(), call.out, plan->out.get(),
                                        &plan->choice.algorithm, memory, bytes, queue.stream);
  return failure(status, "cuBLASLt refuses the product");
}

}  // namespace animatediff::cuda
