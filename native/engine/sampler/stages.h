// Networks on the device while their stage runs, and what happens when a stage runs out of memory.
#pragma once

#include <string>

#include "../memory/exhaustion.h"
#include "denoise.h"

namespace animatediff {

/** The stages of a clip and the networks that they run. */
class Stages {
 public:
  Stages(const Pipeline& pipeline, const ad_request& request, MemoryPlan& plan, const Callbacks& callbacks)
      : pipeline_(pipeline), request_(request), plan_(plan), callbacks_(callbacks) {}

  [[nodiscard]] const MemoryPlan& plan() const { return plan_; }

  /** Runs `work` with `network` on the device, again with a smaller plan for as long as it runs out of memory. */
  template <typename Work>
  auto run(ad_role network, const Work& work) {
    return retry_smaller(
        pipeline_.device,
        [&] {
          place(network);
          return work();
        },
        [&](const std::string& reason) { shrink(network, reason); });
  }

 private:
  void place(ad_role running) const;
  void shrink(ad_role running, const std::string& reason);

  const Pipeline& pipeline_;
  const ad_request& request_;
  MemoryPlan& plan_;
  const Callbacks& callbacks_;
};

}  // namespace animatediff
