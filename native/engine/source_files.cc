#include "source_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "error.h"

namespace animatediff {
namespace {

[[noreturn]] void ends_early(const std::string& file, int descriptor, uint64_t wanted) {
  struct stat status{};
  const uint64_t end = ::fstat(descriptor, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  throw EngineError(AD_FILE_CORRUPT, file + " ends at byte " + std::to_string(end) + ", " +
                                         std::to_string(wanted - end) + " bytes too early. Download it again.");
}

}  // namespace

SourceFiles::~SourceFiles() {
  for (const auto& [file, descriptor] : descriptors_) ::close(descriptor);
}

int SourceFiles::open(const std::string& file) {
  const std::scoped_lock lock(opening_);
  const auto known = descriptors_.find(file);
  if (known != descriptors_.end()) return known->second;
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw EngineError(AD_FILE_NOT_FOUND, "Cannot open " + file + ": " + std::strerror(errno) + ".");
  }
  ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
  descriptors_.emplace(file, descriptor);
  return descriptor;
}

const std::string& SourceFiles::identity(const std::string& file) {
  const auto [known, added] = identities_.try_emplace(file);
  if (!added) return known->second;
  struct stat status{};
  if (::fstat(open(file), &status) != 0) {
    throw EngineError(AD_FILE_NOT_FOUND, "Cannot look at " + file + ": " + std::strerror(errno) + ".");
  }
  std::ostringstream text;
  text << status.st_dev << ':' << status.st_ino << ':' << status.st_size;
  for (const timespec& time : {status.st_mtim, status.st_ctim}) text << ':' << time.tv_sec << '.' << time.tv_nsec;
  known->second = text.str();
  return known->second;
}

void SourceFiles::read(const std::string& file, uint64_t offset, void* target, size_t bytes) {
  const int descriptor = open(file);
  auto* out = static_cast<char*>(target);
  while (bytes > 0) {
    const ssize_t count = ::pread(descriptor, out, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw EngineError(AD_FILE_CORRUPT, "Cannot read " + file + ": " + std::strerror(errno) + ".");
    }
    if (count == 0) {
      ends_early(file, descriptor, offset + bytes);
    }
    out += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<size_t>(count);
  }
}

}  // namespace animatediff
