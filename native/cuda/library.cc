// libanimatediff_cuda.so: registers the operators for CUDA when it is opened. LibTorch's stream comes through headers
// that dispatch, so that this links c10 and torch_cpu alone and one file serves every build of the same version.
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>

#include "../engine/operators/operators.h"
#include "operators.h"

namespace animatediff::cuda {

Queue queue_of(const at::Tensor& x) {
  const c10::impl::VirtualGuardImpl guard(x.device().type());
  return {guard.getStreamNativeHandle(guard.getStream(x.device())), x.device().index()};
}

// The kernels have some of these names too.
TORCH_LIBRARY_IMPL(animatediff, CUDA, library) {
  library.impl("token_group_norm", static_cast<decltype(&operators::token_group_norm)>(token_group_norm));
  library.impl("token_layer_norm", static_cast<decltype(&operators::token_layer_norm)>(token_layer_norm));
  library.impl("gated_gelu", static_cast<decltype(&operators::gated_gelu)>(gated_gelu));
  library.impl("gated_linear", static_cast<decltype(&operators::gated_linear)>(gated_linear));
  library.impl("head_attention", static_cast<decltype(&operators::head_attention)>(head_attention));
  library.impl("add_bias_residual_", static_cast<decltype(&operators::add_bias_residual_)>(add_bias_residual_));
  library.impl("temporal_attention", static_cast<decltype(&operators::temporal_attention)>(temporal_attention));
  library.impl("linear_residual", static_cast<decltype(&operators::linear_residual)>(linear_residual));
  library.impl("phase_weights", static_cast<decltype(&operators::phase_weights)>(phase_weights));
  library.impl("corner_patches", static_cast<decltype(&operators::corner_patches)>(corner_patches));
  library.impl("join_channels", static_cast<decltype(&operators::join_channels)>(join_channels));
  library.impl("join_phases", static_cast<decltype(&operators::join_phases)>(join_phases));
}

}  // namespace animatediff::cuda

#define EXPORTED __attribute__((visibility("default")))

/** Version of LibTorch that this was compiled for. */
extern "C" EXPORTED const char* animatediff_cuda_libtorch_version() { return ANIMATEDIFF_LIBTORCH_VERSION; }

/** Null if the kernels run on the device, else why not. */
extern "C" EXPORTED const char* animatediff_cuda_unusable(int device) { return animatediff::cuda::unusable(device); }
