// The one exception type that engine code throws on purpose; the C interface turns it into an ad_error.
#pragma once

#include <stdexcept>
#include <string>

#include "animatediff.h"

namespace animatediff {

class EngineError : public std::runtime_error {
 public:
  EngineError(ad_status status, const std::string& message) : std::runtime_error(message), status_(status) {}

  [[nodiscard]] ad_status status() const noexcept { return status_; }

 private:
  ad_status status_;
};

}  // namespace animatediff
