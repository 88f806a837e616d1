// The real file system, on which renames and unlinks of some files fail for as long as a test
// wants.
#ifndef ENGRAM_TESTS_TESTING_REFUSING_FILE_SYSTEM_H_
#define ENGRAM_TESTS_TESTING_REFUSING_FILE_SYSTEM_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file_system.h"

namespace engram::testing {

class RefusingFileSystem final : public FileSystem {
 public:
  // What every rename or unlink of a file whose name ends with `suffix` returns; OK: it is done.
  RefusingFileSystem(std::string suffix, Status refusal)
      : suffix_(std::move(suffix)), refusal_(std::move(refusal)) {}
  void Refuse(bool on) { refuses_.store(on); }
  int refused() const { return refused_.load(); }

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    return disk_.Open(path, mode);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    ENGRAM_TRY(Ask(from));
    return disk_.Rename(from, to);
  }
  Status Unlink(const std::string& path) override {
    ENGRAM_TRY(Ask(path));
    return disk_.Unlink(path);
  }
  Status CreateDirectory(const std::string& path) override { return disk_.CreateDirectory(path); }
  Status RemoveDirectory(const std::string& path) override { return disk_.RemoveDirectory(path); }
  Status SyncDirectory(const std::string& path) override { return disk_.SyncDirectory(path); }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return disk_.List(path);
  }
  Result<FileInfo> Stat(const std::string& path) override { return disk_.Stat(path); }
  Result<DiskSpace> Space(const std::string& path) override { return disk_.Space(path); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path, bool shared) override {
    return disk_.Lock(path, shared);
  }

 private:
  Status Ask(const std::string& path) {
    if (!refuses_.load() || !path.ends_with(suffix_)) return Status::Ok();
    refused_.fetch_add(1);
    return refusal_;
  }

  FileSystem& disk_ = FileSystem::Posix();
  const std::string suffix_;
  const Status refusal_;
  std::atomic<bool> refuses_{false};
  std::atomic<int> refused_{0};
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_REFUSING_FILE_SYSTEM_H_
