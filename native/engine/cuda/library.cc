#include "library.h"

#include <dlfcn.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <variant>

namespace animatediff::cuda {
namespace {

using Unusable = const char* (*)(int device);

struct Library {
  Unusable unusable;
  GraphFunctions graphs;
};

template <typename Function>
bool resolve(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  return function != nullptr;
}

std::string last_error() {
  const char* const text = ::dlerror();
  return text != nullptr ? text : "unknown reason";
}

// The library's functions, or why it is not open.
std::variant<Library, std::string> open_library() {
  Dl_info own{};
  if (::dladdr(reinterpret_cast<const void*>(&kernels_problem), &own) == 0) return "the engine has no file";
  const auto path = std::filesystem::absolute(own.dli_fname).parent_path() / "libanimatediff_cuda.so";
  if (!std::filesystem::exists(path)) return "there is no " + path.string() + " (`npm run build:cuda` makes it)";
  // Never closed: LibTorch holds what it registers.
  void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return last_error();
  const auto version = reinterpret_cast<const char* (*)()>(::dlsym(handle, "animatediff_cuda_libtorch_version"));
  Library library{};
  const bool complete = resolve(handle, "animatediff_cuda_unusable", library.unusable) &&
                        resolve(handle, "animatediff_cuda_capture", library.graphs.capture) &&
                        resolve(handle, "animatediff_cuda_replay", library.graphs.replay) &&
                        resolve(handle, "animatediff_cuda_free_graph", library.graphs.free);
  if (version == nullptr || !complete) return path.string() + " is another library";
  if (version() != std::string(ANIMATEDIFF_LIBTORCH_VERSION)) {
    return path.string() + " was compiled for LibTorch " + version() + " and not " + ANIMATEDIFF_LIBTORCH_VERSION;
  }
  return library;
}

const std::variant<Library, std::string>& opened_library() {
  static const auto* const library = new std::variant<Library, std::string>(open_library());
  return *library;
}

std::string find_problem(c10::Device device) {
  if (!device.is_cuda()) return "they are for CUDA";
  const auto& library = opened_library();
  if (const auto* const problem = std::get_if<std::string>(&library)) return *problem;
  const char* const problem = std::get<Library>(library).unusable(device.index());
  return problem != nullptr ? problem : "";
}

}  // namespace

const std::string& kernels_problem(c10::Device device) {
  static auto* const known = new std::map<std::string, std::string>();
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const auto [entry, added] = known->try_emplace(device.str());
  if (added) entry->second = find_problem(device);
  return entry->second;
}

const GraphFunctions& graph_functions() { return std::get<Library>(opened_library()).graphs; }

}  // namespace animatediff::cuda
