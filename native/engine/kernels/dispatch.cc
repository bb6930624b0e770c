// Chooses the kernels for the processor that runs this.
#include "kernels.h"

#if defined(ANIMATEDIFF_X86_KERNELS) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace animatediff {

#define DECLARE_KERNELS(name) \
  namespace name {            \
  extern const Kernels table; \
  }

DECLARE_KERNELS(kernels_baseline)
#ifdef ANIMATEDIFF_X86_KERNELS
DECLARE_KERNELS(kernels_avx2)
DECLARE_KERNELS(kernels_avx512)
DECLARE_KERNELS(kernels_avx512_bf16)
DECLARE_KERNELS(kernels_amx)
#endif
#undef DECLARE_KERNELS

#ifdef ANIMATEDIFF_X86_KERNELS
namespace {

// Linux gives the registers for tiles to a process that asks for them (Documentation/arch/x86/xstate.rst).
bool may_use_tiles() {
#ifdef __linux__
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  static const bool granted = ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

}  // namespace
#endif

std::vector<KernelSet> runnable_kernels() {
  std::vector<KernelSet> sets;
#ifdef ANIMATEDIFF_X86_KERNELS
  // The compiler's own names for levels and extensions of the architecture; see CMakeLists.txt.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4") != 0) {
    if (__builtin_cpu_supports("avx512bf16") != 0) {
      if (__builtin_cpu_supports("amx-bf16") != 0 && may_use_tiles()) {
        sets.push_back({"x86-64-v4 with avx512_bf16 and amx_bf16", &kernels_amx::table, true, true});
      }
      sets.push_back({"x86-64-v4 with avx512_bf16", &kernels_avx512_bf16::table, true, false});
    }
    sets.push_back({"x86-64-v4", &kernels_avx512::table, false, false});
  }
  if (__builtin_cpu_supports("x86-64-v3") != 0) sets.push_back({"x86-64-v3", &kernels_avx2::table, false, false});
#endif
  sets.push_back({"baseline", &kernels_baseline::table, false, false});
  return sets;
}

const KernelSet& kernel_set() {
  static const KernelSet best = runnable_kernels().front();
  return best;
}

const Kernels& kernels() { return *kernel_set().kernels; }

}  // namespace animatediff
