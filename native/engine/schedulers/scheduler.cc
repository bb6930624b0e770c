#include "scheduler.h"

#include <string>

#include "../error.h"
#include "ddim.h"
#include "dpm_solver.h"
#include "euler.h"
#include "euler_ancestral.h"
#include "lcm.h"
#include "pndm.h"

namespace animatediff {

std::unique_ptr<Scheduler> make_scheduler(const ad_scheduler& options) {
  switch (options.kind) {
    case AD_DDIM: return std::make_unique<Ddim>(options);
    case AD_EULER: return std::make_unique<Euler>(options);
    case AD_EULER_ANCESTRAL: return std::make_unique<EulerAncestral>(options);
    case AD_DPM_SOLVER_2M: return std::make_unique<DpmSolver2M>(options);
    case AD_LCM: return std::make_unique<Lcm>(options);
    case AD_PNDM: return std::make_unique<Pndm>(options);
  }
  throw EngineError(AD_INVALID_ARGUMENT, "Unknown scheduler " + std::to_string(options.kind) + ".");
}

}  // namespace animatediff
