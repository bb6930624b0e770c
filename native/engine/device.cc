#include "device.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/core/CachingHostAllocator.h>
#include <c10/core/AllocatorConfig.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "error.h"

namespace animatediff {
namespace {

ad_device_info cpu_info() {
  ad_device_info info{};
  info.kind = AD_CPU;
  std::strncpy(info.name, "CPU", sizeof(info.name) - 1);
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  info.total_bytes = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page;
  info.free_bytes = static_cast<uint64_t>(::sysconf(_SC_AVPHYS_PAGES)) * page;
  return info;
}

ad_device_info cuda_info(int64_t index) {
  ad_device_info info{};
  info.kind = AD_CUDA;
  info.index = static_cast<int32_t>(index);
  std::strncpy(info.name, ("cuda:" + std::to_string(index)).c_str(), sizeof(info.name) - 1);
  try {
    const auto [free_bytes, total_bytes] = at::accelerator::getMemoryInfo(static_cast<c10::DeviceIndex>(index));
    info.free_bytes = free_bytes;
    info.total_bytes = total_bytes;
  } catch (const std::exception&) {
    // A device that is lost or full must not hide the others.
  }
  return info;
}

}  // namespace

int64_t cuda_device_count() { return at::hasCUDA() ? at::detail::getCUDAHooks().getNumGPUs() : 0; }

std::vector<ad_device_info> list_devices() {
  std::vector<ad_device_info> devices{cpu_info()};
  for (int64_t i = 0; i < cuda_device_count(); ++i) devices.push_back(cuda_info(i));
  return devices;
}

c10::Device resolve_device(const ad_engine_options& options) {
  if (options.device == AD_CPU) return {c10::DeviceType::CPU};
  if (!at::hasCUDA()) {
    throw EngineError(AD_DEVICE_UNAVAILABLE,
                      "CUDA was asked for, but the LibTorch in this process has no CUDA support. Run "
                      "`npx animatediff-native doctor` to see why, or use device 'cpu'.");
  }
  const int64_t count = cuda_device_count();
  if (count == 0) {
    throw EngineError(AD_DEVICE_UNAVAILABLE,
                      "CUDA was asked for, but no device answers: no NVIDIA driver, a driver too old for this "
                      "LibTorch, or none visible (CUDA_VISIBLE_DEVICES). Run `npx animatediff-native doctor`.");
  }
  if (options.device_index < 0 || options.device_index >= count) {
    throw EngineError(AD_DEVICE_UNAVAILABLE, "There is no device cuda:" + std::to_string(options.device_index) +
                                                 "; the last one is cuda:" + std::to_string(count - 1) + ".");
  }
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(options.device_index)};
}

uint64_t peak_device_bytes(c10::Device device) {
  if (device.is_cpu()) return 0;
  const auto stats = at::accelerator::getDeviceStats(device.index());
  return static_cast<uint64_t>(std::max<int64_t>(0, stats.reserved_bytes[0].peak));
}

uint64_t peak_allocated_bytes(c10::Device device) {
  if (device.is_cpu()) return 0;
  const auto stats = at::accelerator::getDeviceStats(device.index());
  return static_cast<uint64_t>(std::max<int64_t>(0, stats.allocated_bytes[0].peak));
}

uint64_t held_device_bytes(c10::Device device) {
  if (device.is_cpu()) return 0;
  const auto stats = at::accelerator::getDeviceStats(device.index());
  return static_cast<uint64_t>(std::max<int64_t>(0, stats.allocated_bytes[0].current));
}

uint64_t free_device_bytes(c10::Device device) {
  if (device.is_cpu()) return 0;
  const auto stats = at::accelerator::getDeviceStats(device.index());
  const int64_t cached = stats.reserved_bytes[0].current - stats.allocated_bytes[0].current;
  const auto [free_bytes, total_bytes] = at::accelerator::getMemoryInfo(device.index());
  return free_bytes + static_cast<uint64_t>(std::max<int64_t>(0, cached));
}

void synchronize(c10::Device device) {
  if (!device.is_cpu()) at::accelerator::synchronizeDevice(device.index());
}

void release_device_cache(c10::Device device) noexcept {
  if (device.is_cpu()) return;
  try {
    at::accelerator::emptyCache();
  } catch (const std::exception&) {
    // After a fault of the device nothing can be returned; the fault itself is reported by the call that met it.
  }
}

void release_pinned_memory(c10::Device device) noexcept {
  if (device.is_cpu()) return;
  try {
    at::getHostAllocator(device.type())->empty_cache();
  } catch (const std::exception&) {
    // As above.
  }
}

void avoid_fragments() {
  for (const char* const variable : {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}) {
    if (std::getenv(variable) != nullptr) return;
  }
  c10::CachingAllocator::setAllocatorSettings("expandable_segments:True");
}

void use_full_float32() {
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
}

}  // namespace animatediff
