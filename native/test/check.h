// The few checks that the C++ tests need. A failed one prints where and what, and the program exits with 1.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

namespace check {

inline int failures = 0;

inline void fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  ++failures;
}

inline int finish(const char* name) {
  std::printf("%s: %s\n", name, failures == 0 ? "ok" : "FAILED");
  return failures == 0 ? 0 : 1;
}

}  // namespace check

#define EXPECT(condition)                                                      \
  do {                                                                         \
    if (!(condition)) check::fail(__FILE__, __LINE__, "expected " #condition); \
  } while (false)

#define EXPECT_NEAR(actual, expected, tolerance)                                                 \
  do {                                                                                           \
    const double actual_value = (actual);                                                        \
    const double expected_value = (expected);                                                    \
    if (!(std::abs(actual_value - expected_value) <= (tolerance)))                               \
      check::fail(__FILE__, __LINE__,                                                            \
                  std::string(#actual) + " is " + std::to_string(actual_value) + ", expected " + \
                      std::to_string(expected_value));                                           \
  } while (false)

#define EXPECT_STATUS(expression, expected_status)                                                          \
  do {                                                                                                      \
    bool thrown = false;                                                                                    \
    try {                                                                                                   \
      static_cast<void>(expression);                                                                        \
    } catch (const animatediff::EngineError& error) {                                                       \
      thrown = true;                                                                                        \
      if (error.status() != (expected_status))                                                              \
        check::fail(__FILE__, __LINE__, std::string(#expression " threw another status: ") + error.what()); \
    }                                                                                                       \
    if (!thrown) check::fail(__FILE__, __LINE__, #expression " did not throw");                             \
  } while (false)
