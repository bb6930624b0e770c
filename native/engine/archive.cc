#include "archive.h"

#include <torch/csrc/jit/serialization/export.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "engine.h"
#include "error.h"

namespace animatediff {
namespace {

constexpr const char* kMetadataFile = "animatediff.json";

torch::jit::Module container(const Graphs& graphs) {
  torch::jit::Module all("AnimateDiff");
  for (size_t role = 0; role < graphs.size(); ++role) {
    if (graphs[role].loaded()) all.register_module(role_name(static_cast<ad_role>(role)), graphs[role].plain());
  }
  return all;
}

// A file that remembers its first failure. LibTorch's writer must never see one: it throws from its destructor.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path) : file_(std::fopen(path.c_str(), "wb"), &std::fclose) {
    if (file_ == nullptr) failure_ = errno;
  }

  size_t write(const void* data, size_t bytes) {
    if (failure_ == 0 && std::fwrite(data, 1, bytes, file_.get()) != bytes) failure_ = errno;
    return bytes;
  }

  [[nodiscard]] int failure() const { return failure_; }

  /** Brings everything to the disk; 0, or the errno of the first failure. */
  int finish() {
    if (failure_ == 0 && (std::fflush(file_.get()) != 0 || ::fsync(::fileno(file_.get())) != 0)) failure_ = errno;
    return failure_;
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  int failure_ = 0;
};

int write_archive(const std::string& path, const std::string& metadata, const Graphs& graphs) {
  OutputFile file(path);
  if (file.failure() != 0) return file.failure();
  torch::jit::ExportModule(container(graphs),
                           [&file](const void* data, size_t bytes) { return file.write(data, bytes); },
                           {{kMetadataFile, metadata}});
  return file.finish();
}

}  // namespace

void save_archive(const std::string& path, const std::string& metadata, const Graphs& graphs) {
  const std::string beside = path + "." + std::to_string(::getpid()) + ".partial";
  int failure = write_archive(beside, metadata, graphs);
  if (failure == 0 && std::rename(beside.c_str(), path.c_str()) != 0) failure = errno;
  if (failure == 0) return;
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);
  throw EngineError(AD_OUTPUT, "Cannot write " + path + ": " + std::strerror(failure) + ".");
}

}  // namespace animatediff
