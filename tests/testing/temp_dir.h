// A fresh directory that is removed, with all it holds, when the object dies.
#ifndef ENGRAM_TESTS_TESTING_TEMP_DIR_H_
#define ENGRAM_TESTS_TESTING_TEMP_DIR_H_

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/check.h"

namespace engram::testing {

class TempDir {
 public:
  // Below $TMPDIR, else /tmp.
  TempDir() : TempDir(std::filesystem::temp_directory_path().string()) {}
  explicit TempDir(std::string_view parent) {
    path_ = std::string(parent) + "/engram-test-XXXXXX";
    ENGRAM_CHECK(mkdtemp(path_.data()) != nullptr);
  }
  // In memory: for tests whose flushes need not reach a disk.
  static TempDir InMemory() { return TempDir("/dev/shm"); }

  ~TempDir() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TempDir(TempDir&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  TempDir& operator=(TempDir&&) = delete;

  const std::string& path() const { return path_; }
  std::string Join(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_TEMP_DIR_H_
