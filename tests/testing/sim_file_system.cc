#include "tests/testing/sim_file_system.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/check.h"

namespace engram::testing {
namespace {

constexpr char kLmdbLockFile[] = "lock.mdb";  // not part of the simulation: recreated at every open

Status ToStatus(int error_number, std::string_view operation, const std::string& path) {
  if (error_number == 0) return Status::Ok();
  return Status::FromErrno(error_number, std::string(operation) + " " + path);
}

bool IsLmdbLock(const std::string& path) {
  return std::filesystem::path(path).filename() == kLmdbLockFile;
}

class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, SimDisk::InodeId inode, std::string path, std::string relative,
          bool writable)
      : disk_(disk),
        inode_(inode),
        path_(std::move(path)),
        relative_(std::move(relative)),
        life_(disk.life()),
        writable_(writable) {}

  Result<uint64_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    if (Dead()) return ToStatus(EIO, "read", path_);
    SimDisk::Outcome outcome = disk_.Read(inode_, offset, out);
    ENGRAM_TRY(ToStatus(outcome.error_number, "read", path_));
    return outcome.size_bytes;
  }
  Status WriteAt(uint64_t offset, Bytes bytes) override {
    if (Dead() || !writable_) return ToStatus(Dead() ? EIO : EBADF, "write", path_);
    return Written(disk_.Write(inode_, offset, bytes), bytes.size());
  }
  Status WriteAtDurable(uint64_t offset, Bytes bytes) override {
    if (Dead() || !writable_) return ToStatus(Dead() ? EIO : EBADF, "write", path_);
    SimDisk::Flush flush = {"durable write", relative_, __builtin_return_address(0)};
    return Written(disk_.WriteDurable(inode_, offset, bytes, flush), bytes.size());
  }
  Status Sync() override {
    if (Dead()) return ToStatus(EIO, "flush", path_);
    return ToStatus(disk_.Sync(inode_, {"sync", relative_, __builtin_return_address(0)}), "flush",
                    path_);
  }
  void DropCache() override {
    if (!Dead()) disk_.DropCache(inode_);
  }
  Status Truncate(uint64_t size_bytes) override {
    if (Dead() || !writable_) return ToStatus(Dead() ? EIO : EBADF, "truncate", path_);
    return ToStatus(disk_.Truncate(inode_, size_bytes), "truncate", path_);
  }
  Result<uint64_t> Size() override {
    if (Dead()) return ToStatus(EIO, "stat", path_);
    uint64_t size_bytes = 0;
    ENGRAM_TRY(ToStatus(disk_.Size(inode_, &size_bytes), "stat", path_));
    return size_bytes;
  }
  int native_fd() const override { return -1; }
  const std::string& path() const override { return path_; }

  SimDisk::InodeId inode() const { return inode_; }
  const std::string& relative() const { return relative_; }
  bool Dead() const { return disk_.life() != life_; }

 private:
  // File promises all bytes or an error, so a short write is one.
  Status Written(const SimDisk::Outcome& outcome, uint64_t size_bytes) const {
    ENGRAM_TRY(ToStatus(outcome.error_number, "write", path_));
    return ToStatus(outcome.size_bytes == size_bytes ? 0 : EIO, "short write", path_);
  }

  SimDisk& disk_;
  const SimDisk::InodeId inode_;
  const std::string path_;
  const std::string relative_;
  const uint64_t life_;
  const bool writable_;
};

class SimLock final : public FileLock {
 public:
  SimLock(SimDisk& disk, SimDisk::InodeId inode, bool shared)
      : disk_(disk), inode_(inode), shared_(shared), life_(disk.life()) {}
  ~SimLock() override { disk_.Unlock(inode_, shared_, life_); }

 private:
  SimDisk& disk_;
  const SimDisk::InodeId inode_;
  const bool shared_;
  const uint64_t life_;
};

class SimWriteQueue final : public WriteQueue {
 public:
  explicit SimWriteQueue(SimDisk& disk) : disk_(disk) {}

  Status Submit(uint64_t token, File& file, uint64_t offset, Bytes bytes) override {
    auto& sim_file = static_cast<SimFile&>(file);
    if (sim_file.Dead()) return ToStatus(EIO, "submit a write to", file.path());
    SimDisk::Outcome outcome = disk_.SubmitQueued(sim_file.inode(), offset, bytes);
    const bool failed = outcome.error_number != 0 || outcome.size_bytes != bytes.size();
    // A ring reports most failures with the completion, a few at the submission.
    if (disk_.crashed() || (failed && disk_.Choose(4) == 0)) {
      return ToStatus(EIO, "submit a write to", file.path());
    }
    in_flight_.push_back({token, &sim_file, offset, bytes.size(),
                          failed ? std::max(outcome.error_number, EIO) : 0,
                          __builtin_return_address(0)});
    return Status::Ok();
  }

  Result<Completion> Wait() override {
    ENGRAM_CHECK(!in_flight_.empty());
    if (disk_.crashed()) return ToStatus(EIO, "wait for", in_flight_.front().file->path());
    const auto picked =
        in_flight_.begin() + static_cast<ptrdiff_t>(disk_.Choose(in_flight_.size()));
    const InFlight write = *picked;
    in_flight_.erase(picked);
    int error_number = write.error_number;
    if (error_number == 0 && write.file->Dead()) error_number = EIO;
    if (error_number == 0) {
      error_number = disk_.FinishQueued(write.file->inode(), write.offset, write.size_bytes,
                                        {"queued write", write.file->relative(), write.call_site});
    }
    return Completion{write.token, ToStatus(error_number, "write", write.file->path())};
  }

 private:
  struct InFlight {
    uint64_t token;
    SimFile* file;
    uint64_t offset;
    uint64_t size_bytes;
    int error_number;
    const void* call_site;
  };
  SimDisk& disk_;
  std::vector<InFlight> in_flight_;
};

}  // namespace

SimFileSystem::SimFileSystem(SimDisk& disk, std::string real_root)
    : disk_(disk), real_root_(std::move(real_root)) {
  for (const SimDisk::Entry& entry : disk_.Walk()) {
    const std::string path = JoinPath(real_root_, entry.path);
    if (entry.is_directory) {
      std::filesystem::create_directories(path);
    } else if (entry.is_external) {
      const std::string image = disk_.Image(entry.inode);
      std::ofstream(path, std::ios::binary)
          .write(image.data(), static_cast<std::streamsize>(image.size()));
    }
  }
}

SimFileSystem::~SimFileSystem() {
  std::error_code ignored;
  std::filesystem::remove_all(real_root_, ignored);
}

std::string SimFileSystem::Relative(const std::string& path) const {
  if (path == real_root_) return "/";
  if (!path.starts_with(real_root_ + "/")) return "";
  return path.substr(real_root_.size() + 1);
}

Result<std::unique_ptr<File>> SimFileSystem::Open(const std::string& path, OpenMode mode) {
  SimDisk::InodeId inode = 0;
  const std::string relative = Relative(path);
  ENGRAM_TRY(ToStatus(relative.empty() ? ENOENT : 0, "open", path));
  ENGRAM_TRY(ToStatus(disk_.Open(relative, mode, &inode), "open", path));
  const bool writable = mode != OpenMode::kReadOnly;
  return std::unique_ptr<File>(new SimFile(disk_, inode, path, relative, writable));
}

Status SimFileSystem::Rename(const std::string& from, const std::string& to) {
  const bool mirrored = std::filesystem::exists(from);
  ENGRAM_TRY(ToStatus(disk_.Rename(Relative(from), Relative(to)), "rename", from + " to " + to));
  if (mirrored) ENGRAM_CHECK(rename(from.c_str(), to.c_str()) == 0);
  return Status::Ok();
}

Status SimFileSystem::Unlink(const std::string& path) {
  if (!IsLmdbLock(path)) ENGRAM_TRY(ToStatus(disk_.Unlink(Relative(path)), "remove", path));
  const bool removed = unlink(path.c_str()) == 0;
  return ToStatus(IsLmdbLock(path) && !removed ? ENOENT : 0, "remove", path);
}

Status SimFileSystem::CreateDirectory(const std::string& path) {
  ENGRAM_TRY(ToStatus(disk_.CreateDirectory(Relative(path)), "create directory", path));
  if (mkdir(path.c_str(), 0700) != 0) ENGRAM_CHECK(errno == EEXIST);
  return Status::Ok();
}

Status SimFileSystem::RemoveDirectory(const std::string& path) {
  const bool has_lock = std::filesystem::exists(JoinPath(path, kLmdbLockFile));
  ENGRAM_TRY(ToStatus(has_lock ? ENOTEMPTY : disk_.RemoveDirectory(Relative(path)),
                      "remove directory", path));
  ENGRAM_CHECK(rmdir(path.c_str()) == 0);
  return Status::Ok();
}

Status SimFileSystem::SyncDirectory(const std::string& path) {
  if (Relative(path).empty()) return Status::Ok();  // above the root: not on this disk
  const SimDisk::Flush flush = {"sync directory", Relative(path), __builtin_return_address(0)};
  return ToStatus(disk_.SyncDirectory(flush), "flush directory", path);
}

Result<std::vector<DirectoryEntry>> SimFileSystem::List(const std::string& path) {
  std::vector<DirectoryEntry> entries;
  ENGRAM_TRY(ToStatus(disk_.List(Relative(path), &entries), "list", path));
  if (std::filesystem::exists(JoinPath(path, kLmdbLockFile))) {
    entries.push_back({kLmdbLockFile, false});
    std::sort(entries.begin(), entries.end(),
              [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  }
  return entries;
}

Result<FileInfo> SimFileSystem::Stat(const std::string& path) {
  FileInfo info;
  ENGRAM_TRY(ToStatus(Relative(path).empty() ? ENOENT : 0, "stat", path));
  ENGRAM_TRY(ToStatus(disk_.Stat(Relative(path), &info), "stat", path));
  return info;
}

Result<DiskSpace> SimFileSystem::Space(const std::string& path) {
  DiskSpace space;
  ENGRAM_TRY(ToStatus(disk_.Space(&space), "ask for the free space of", path));
  return space;
}

Result<std::unique_ptr<FileLock>> SimFileSystem::Lock(const std::string& path, bool shared) {
  SimDisk::InodeId inode = 0;
  const int error_number = disk_.Lock(Relative(path), shared, &inode);
  if (error_number == EAGAIN) {
    return Status::Busy("lock " + path + ": another process holds it",
                        "stop that process, or let the running server do the work");
  }
  ENGRAM_TRY(ToStatus(error_number, "lock", path));
  return std::unique_ptr<FileLock>(new SimLock(disk_, inode, shared));
}

std::unique_ptr<WriteQueue> SimFileSystem::NewWriteQueue() {
  return std::make_unique<SimWriteQueue>(disk_);
}

}  // namespace engram::testing
