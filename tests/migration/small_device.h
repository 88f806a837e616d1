// A file system whose device reports little room at one place, and is the real one otherwise.
#ifndef ENGRAM_TESTS_MIGRATION_SMALL_DEVICE_H_
#define ENGRAM_TESTS_MIGRATION_SMALL_DEVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"

namespace engram::migration {

class SmallDevice final : public FileSystem {
 public:
  // `is_small` says of which paths the device has `available_bytes`.
  SmallDevice(uint64_t available_bytes, std::function<bool(const std::string&)> is_small)
      : available_bytes_(available_bytes), is_small_(std::move(is_small)) {}

  Result<std::unique_ptr<File>> Open(const std::string& p, OpenMode m) override {
    return Posix().Open(p, m);
  }
  Status Rename(const std::string& a, const std::string& b) override {
    return Posix().Rename(a, b);
  }
  Status Unlink(const std::string& p) override { return Posix().Unlink(p); }
  Status CreateDirectory(const std::string& p) override { return Posix().CreateDirectory(p); }
  Status RemoveDirectory(const std::string& p) override { return Posix().RemoveDirectory(p); }
  Status SyncDirectory(const std::string& p) override { return Posix().SyncDirectory(p); }
  Result<std::vector<DirectoryEntry>> List(const std::string& p) override {
    return Posix().List(p);
  }
  Result<FileInfo> Stat(const std::string& p) override { return Posix().Stat(p); }
  Result<DiskSpace> Space(const std::string& p) override {
    if (is_small_(p)) return DiskSpace{1u << 30, available_bytes_};
    return Posix().Space(p);
  }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& p, bool s) override {
    return Posix().Lock(p, s);
  }

 private:
  const uint64_t available_bytes_;
  const std::function<bool(const std::string&)> is_small_;
};

}  // namespace engram::migration

#endif  // ENGRAM_TESTS_MIGRATION_SMALL_DEVICE_H_
