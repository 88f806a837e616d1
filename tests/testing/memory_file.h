// A File over bytes in memory, read-only.
#ifndef ENGRAM_TESTS_TESTING_MEMORY_FILE_H_
#define ENGRAM_TESTS_TESTING_MEMORY_FILE_H_

#include <algorithm>
#include <cstring>
#include <string>

#include "base/file_system.h"

namespace engram::testing {

class MemoryFile : public File {
 public:
  explicit MemoryFile(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<uint64_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    if (offset >= bytes_.size()) return uint64_t{0};
    uint64_t count = std::min<uint64_t>(out.size(), bytes_.size() - offset);
    std::memcpy(out.data(), bytes_.data() + offset, count);
    return count;
  }
  Status WriteAt(uint64_t, Bytes) override { return ReadOnly(); }
  Status WriteAtDurable(uint64_t, Bytes) override { return ReadOnly(); }
  Status Sync() override { return ReadOnly(); }
  Status Truncate(uint64_t) override { return ReadOnly(); }
  Result<uint64_t> Size() override { return uint64_t{bytes_.size()}; }
  int native_fd() const override { return -1; }
  const std::string& path() const override { return path_; }

 private:
  static Status ReadOnly() { return Status::Io("this file is read-only"); }
  std::string bytes_;
  std::string path_ = "(memory)";
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_MEMORY_FILE_H_
