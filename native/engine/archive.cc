#include "archive.h"

#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>
#include <unistd.h>

#include <filesystem>

#include "engine.h"
#include "error.h"

namespace animatediff {
namespace {

constexpr const char* kMetadataFile = "animatediff.json";

torch::jit::Module container(const Graphs& graphs) {
  torch::jit::Module all("AnimateDiff");
  for (size_t role = 0; role < graphs.size(); ++role) {
    if (graphs[role].loaded()) all.register_module(role_name(static_cast<ad_role>(role)), graphs[role].module());
  }
  return all;
}

}  // namespace

void save_archive(const std::string& path, const std::string& metadata, const Graphs& graphs) {
  const std::string beside = path + "." + std::to_string(::getpid()) + ".partial";
  std::error_code failure;
  try {
    container(graphs).save(beside, {{kMetadataFile, metadata}});
    std::filesystem::rename(beside, path);
  } catch (const std::exception& error) {
    std::filesystem::remove(beside, failure);
    throw EngineError(AD_OUTPUT, "Cannot write " + path + ": " + error.what());
  }
}

std::string read_archive(const std::string& path, c10::Device device, c10::ScalarType dtype, Graphs& graphs) {
  if (!std::filesystem::exists(path)) throw EngineError(AD_FILE_NOT_FOUND, "There is no file " + path + ".");
  torch::jit::ExtraFilesMap extra{{kMetadataFile, ""}};
  torch::jit::Module all;
  try {
    all = torch::jit::load(path, device, extra);
  } catch (const c10::Error& error) {
    throw EngineError(AD_FILE_CORRUPT,
                      path + " is not a readable TorchScript archive: " + error.what_without_backtrace());
  }
  Graphs fresh;
  for (size_t role = 0; role < graphs.size(); ++role) {
    const char* name = role_name(static_cast<ad_role>(role));
    if (all.hasattr(name)) fresh[role] = Graph(all.attr(name).toModule());
  }
  if (!fresh[AD_UNET].loaded() || !fresh[AD_TEXT_ENCODER].loaded() || !fresh[AD_VAE_DECODER].loaded()) {
    throw EngineError(AD_FILE_CORRUPT, path + " is a TorchScript archive, but not one written by `bake`.");
  }
  for (Graph& graph : fresh) {
    if (!graph.loaded()) continue;
    graph.require_complete();
    if (graph.dtype() != dtype) graph.to(dtype);
  }
  graphs = std::move(fresh);
  return extra.at(kMetadataFile);
}

}  // namespace animatediff
