// The files that parameters are read from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace animatediff {

/** Open files of one plan, each opened once and read by position. */
class SourceFiles {
 public:
  SourceFiles() = default;
  SourceFiles(const SourceFiles&) = delete;
  SourceFiles& operator=(const SourceFiles&) = delete;
  ~SourceFiles();

  /** Reads exactly `bytes` at `offset`, from any thread; AD_FILE_NOT_FOUND or AD_FILE_CORRUPT when there are fewer. */
  void read(const std::string& file, uint64_t offset, void* target, size_t bytes);

  /** Which file it is, and in which state; AD_FILE_NOT_FOUND. Equal texts mean equal bytes. */
  const std::string& identity(const std::string& file);

 private:
  int open(const std::string& file);
  std::mutex opening_;
  std::map<std::string, int> descriptors_;
  std::map<std::string, std::string> identities_;
};

}  // namespace animatediff
