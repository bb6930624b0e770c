// The one exception type that engine code throws on purpose; the C interface turns it into an ad_error.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "animatediff.h"

namespace animatediff {

class EngineError : public std::runtime_error {
 public:
  /** `detail`: what LibTorch said, for bug reports. */
  EngineError(ad_status status, const std::string& message, std::string detail = "")
      : std::runtime_error(message), status_(status), detail_(std::move(detail)) {}

  [[nodiscard]] ad_status status() const noexcept { return status_; }
  [[nodiscard]] const std::string& detail() const noexcept { return detail_; }

 private:
  ad_status status_;
  std::string detail_;
};

}  // namespace animatediff
