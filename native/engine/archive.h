// Self-contained archives: every network of a pipeline with its weights in one TorchScript file.
#pragma once

#include <array>
#include <string>

#include "animatediff.h"
#include "graph.h"

namespace animatediff {

using Graphs = std::array<Graph, AD_ROLE_COUNT>;

/**
 * Writes the loaded networks and `metadata` (as the extra file `animatediff.json`) beside `path`, then renames. Throws
 * AD_OUTPUT when that fails, and leaves nothing behind then.
 */
void save_archive(const std::string& path, const std::string& metadata, const Graphs& graphs);

}  // namespace animatediff
