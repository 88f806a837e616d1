// A FileSystem of one directory whose files are bytes in memory, read-only.
#ifndef ENGRAM_TESTS_TESTING_MEMORY_DIRECTORY_H_
#define ENGRAM_TESTS_TESTING_MEMORY_DIRECTORY_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/memory_file.h"

namespace engram::testing {

class MemoryDirectory : public FileSystem {
 public:
  // Contents by path; the paths share one parent.
  explicit MemoryDirectory(std::map<std::string, std::string> files) : files_(std::move(files)) {}

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode) override {
    const auto found = files_.find(path);
    if (found == files_.end()) return Status::NotFound(path);
    return std::unique_ptr<File>(std::make_unique<MemoryFile>(found->second));
  }
  Result<std::vector<DirectoryEntry>> List(const std::string&) override {
    std::vector<DirectoryEntry> entries;
    for (const auto& [path, bytes] : files_) {
      entries.push_back({path.substr(path.rfind('/') + 1), false});
    }
    return entries;
  }
  Result<FileInfo> Stat(const std::string& path) override {
    const auto found = files_.find(path);
    if (found == files_.end()) return Status::NotFound(path);
    FileInfo info;
    info.is_regular = true;
    info.size_bytes = found->second.size();
    return info;
  }
  Status Rename(const std::string&, const std::string&) override { return ReadOnly(); }
  Status Unlink(const std::string&) override { return ReadOnly(); }
  Status CreateDirectory(const std::string&) override { return ReadOnly(); }
  Status RemoveDirectory(const std::string&) override { return ReadOnly(); }
  Status SyncDirectory(const std::string&) override { return ReadOnly(); }
  Result<DiskSpace> Space(const std::string&) override { return ReadOnly(); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string&, bool) override { return ReadOnly(); }

 private:
  static Status ReadOnly() { return Status::Io("this directory is read-only"); }
  const std::map<std::string, std::string> files_;
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_MEMORY_DIRECTORY_H_
