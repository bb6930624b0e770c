// Self-contained archives: every network of a pipeline with its weights in one TorchScript file.
#pragma once

#include <c10/core/Device.h>

#include <array>
#include <string>

#include "animatediff.h"
#include "graph.h"

namespace animatediff {

using Graphs = std::array<Graph, AD_ROLE_COUNT>;

/** Writes the loaded networks and `metadata` beside `path` and renames; AD_OUTPUT when that fails. */
void save_archive(const std::string& path, const std::string& metadata, const Graphs& graphs);

/** Fills `graphs` from an archive, cast to `dtype` on `device`, and returns its metadata. */
std::string read_archive(const std::string& path, c10::Device device, c10::ScalarType dtype, Graphs& graphs);

}  // namespace animatediff
