// The file seam: every open, read, write, asynchronous write, flush, rename, unlink, directory
// flush and free-space query of this project goes through these interfaces, so that a simulated
// disk can stand behind them. Only LMDB does its own I/O.
#ifndef ENGRAM_BASE_FILE_SYSTEM_H_
#define ENGRAM_BASE_FILE_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/result.h"

namespace engram {

// One open file. Calls at explicit offsets; safe from several threads as pread/pwrite are.
class File {
 public:
  virtual ~File() = default;
  // Reads up to `out.size()` bytes; fewer only at the end of the file. Returns the count.
  virtual Result<uint64_t> ReadAt(uint64_t offset, std::span<uint8_t> out) = 0;
  // Writes all bytes or fails; after a failure an unknown part may have been written.
  virtual Status WriteAt(uint64_t offset, Bytes bytes) = 0;
  // As WriteAt, and the bytes (with the metadata needed to read them) are durable on return.
  virtual Status WriteAtDurable(uint64_t offset, Bytes bytes) = 0;
  // Makes all bytes written through any handle durable (fdatasync). A failure is never retried.
  virtual Status Sync() = 0;
  // Forgets cached bytes that are not waiting to be written, so that the next read comes from the
  // device. After a failed flush the cache may hold what the device does not. Best effort.
  virtual void DropCache() {}
  virtual Status Truncate(uint64_t size_bytes) = 0;
  virtual Result<uint64_t> Size() = 0;
  // The operating system's descriptor, or -1 when there is none (simulated disk).
  virtual int native_fd() const = 0;
  virtual const std::string& path() const = 0;
};

// Held until destroyed.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Durable writes in flight. One thread at a time.
class WriteQueue {
 public:
  struct Completion {
    uint64_t token = 0;
    Status status;  // OK only if every byte was written and flushed
  };
  virtual ~WriteQueue() = default;
  // Starts a durable write; `file` and `bytes` must live until its completion is returned.
  virtual Status Submit(uint64_t token, File& file, uint64_t offset, Bytes bytes) = 0;
  // Waits for the completion of one write, in any order. REQUIRES: one is in flight.
  virtual Result<Completion> Wait() = 0;
};

struct FileInfo {
  bool is_directory = false;
  bool is_regular = false;
  uint64_t size_bytes = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  uint32_t mode = 0;  // permission bits
  // Of the last change of the content, and of the file; 0: not known.
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
};

struct DirectoryEntry {
  std::string name;  // raw bytes, may be invalid UTF-8
  bool is_directory = false;
};

struct DiskSpace {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;  // to an unprivileged user
};

// Of a file that was opened with kReadWriteDirect: offset, size and address of what is written are
// multiples of this.
inline constexpr uint64_t kDirectAlignmentBytes = 4096;

enum class OpenMode {
  kReadOnly,
  kReadWrite,        // must exist
  kReadWriteDirect,  // as kReadWrite; writes pass by the page cache if the file system can do that
  kCreate,           // read-write, created 0600 if missing
  kCreateExclusive,  // read-write, fails with EEXIST
};

// Thread-safe. Errors name the operation and the path.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  // Atomically replaces `to`; durable after SyncDirectory of the parent.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Unlink(const std::string& path) = 0;
  // Mode 0700; OK if it exists already. The parent must exist.
  virtual Status CreateDirectory(const std::string& path) = 0;
  virtual Status RemoveDirectory(const std::string& path) = 0;  // must be empty
  virtual Status SyncDirectory(const std::string& path) = 0;
  // Sorted by name bytes, without "." and "..".
  virtual Result<std::vector<DirectoryEntry>> List(const std::string& path) = 0;
  virtual Result<FileInfo> Stat(const std::string& path) = 0;
  virtual Result<DiskSpace> Space(const std::string& path) = 0;
  // Open-file-description lock on `path`, created if missing unless `shared` on a read-only file
  // system. kBusy if another process or handle holds a conflicting one.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path, bool shared) = 0;
  // A queue of this file system's own, or null: the caller then uses the operating system's.
  virtual std::unique_ptr<WriteQueue> NewWriteQueue() { return nullptr; }

  static FileSystem& Posix();  // stateless
};

// Helpers over the seam.
bool Exists(FileSystem& fs, const std::string& path);
Result<std::string> ReadFile(FileSystem& fs, const std::string& path, uint64_t size_bytes_max);
// Replaces `path` atomically and durably: write `path`.tmp, flush, rename, flush the directory.
Status ReplaceFileDurably(FileSystem& fs, const std::string& path, Bytes contents);
// Writes up to `size_bytes` again as the cache has them, so that the next flush makes them durable.
// What went with a failed flush counts as written there, and no later flush writes it otherwise.
Status WriteCachedAgain(File& file, uint64_t offset, uint64_t size_bytes);
// Like mkdir -p. The names are durable on return, also that of a directory that was there already.
Status CreateDirectories(FileSystem& fs, const std::string& path);
std::string JoinPath(std::string_view directory, std::string_view name);
std::string ParentPath(std::string_view path);

}  // namespace engram

#endif  // ENGRAM_BASE_FILE_SYSTEM_H_
