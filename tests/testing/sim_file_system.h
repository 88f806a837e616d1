// FileSystem, File and WriteQueue over a SimDisk. Paths begin with `real_root`, an existing or new
// directory of the host: directories created through the seam are created there too, so that LMDB,
// which does its own I/O, finds its place. Its files are recorded by LmdbRecorder.
//
// One object per life of the disk: after SimDisk::Restart() make a new one on a fresh directory; it
// puts what survived there.
#ifndef ENGRAM_TESTS_TESTING_SIM_FILE_SYSTEM_H_
#define ENGRAM_TESTS_TESTING_SIM_FILE_SYSTEM_H_

#include <memory>
#include <string>

#include "base/file_system.h"
#include "tests/testing/sim_disk.h"

namespace engram::testing {

class SimFileSystem final : public FileSystem {
 public:
  SimFileSystem(SimDisk& disk, std::string real_root);
  ~SimFileSystem() override;  // removes `real_root`

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Unlink(const std::string& path) override;
  Status CreateDirectory(const std::string& path) override;
  Status RemoveDirectory(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override;
  Result<FileInfo> Stat(const std::string& path) override;
  Result<DiskSpace> Space(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path, bool shared) override;
  // Completions come in a seeded order; what is in flight at a crash may be lost, torn or whole.
  std::unique_ptr<WriteQueue> NewWriteQueue() override;

  SimDisk& disk() { return disk_; }
  const std::string& real_root() const { return real_root_; }
  // The disk's path of a host path; empty if it does not lie below the root.
  std::string Relative(const std::string& path) const;

 private:
  SimDisk& disk_;
  const std::string real_root_;
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_SIM_FILE_SYSTEM_H_
