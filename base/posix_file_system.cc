// FileSystem over POSIX calls. Files are 0600 and directories 0700, descriptors are close-on-exec.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "base/file_system.h"

namespace engram {
namespace {

constexpr uint64_t kIoSizeBytesMax = 1u << 30;  // Linux stops a single call at 2 GiB - 4096
constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;

Status ErrnoStatus(const char* operation, const std::string& path) {
  return Status::FromErrno(errno, std::string(operation) + " " + path);
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

FileDescriptor OpenRetrying(const std::string& path, int flags) {
  int fd;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, kFileMode);
  } while (fd < 0 && errno == EINTR);
  return FileDescriptor(fd);
}

// A NUL would make the kernel see another path than the caller does.
Status CheckPath(const std::string& path) {
  if (path.empty()) return Status::InvalidArgument("the path is empty");
  if (path.find('\0') != std::string::npos) {
    return Status::InvalidArgument("the path has a NUL byte: " + path.substr(0, path.find('\0')));
  }
  return Status::Ok();
}

int OpenFlags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kReadOnly:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kReadWriteDirect:
      return O_RDWR | O_DIRECT;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT;
    case OpenMode::kCreateExclusive:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

class PosixFile final : public File {
 public:
  PosixFile(FileDescriptor fd, std::string path, bool direct)
      : fd_(std::move(fd)), path_(std::move(path)), direct_(direct) {}

  Result<uint64_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    uint64_t done = 0;
    while (done < out.size()) {
      ssize_t n = pread(fd_.get(), out.data() + done, Chunk(out.size() - done),
                        static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Failed("read", offset + done);
      if (n == 0) break;
      done += static_cast<uint64_t>(n);
    }
    return done;
  }

  Status WriteAt(uint64_t offset, Bytes bytes) override {
    return WriteLoop(offset, bytes, [this](const iovec& part, off_t at) {
      return pwrite(fd_.get(), part.iov_base, part.iov_len, at);
    });
  }

  Status WriteAtDurable(uint64_t offset, Bytes bytes) override {
    if (!dsync_unsupported_.load(std::memory_order_relaxed)) {
      Status status = WriteLoop(offset, bytes, [this](const iovec& part, off_t at) {
        return pwritev2(fd_.get(), &part, 1, at, RWF_DSYNC);
      });
      if (!IsUnsupported(status.os_errno())) return status;
      dsync_unsupported_.store(true, std::memory_order_relaxed);
    }
    ENGRAM_TRY(WriteAt(offset, bytes));
    return Sync();
  }

  Status Sync() override {
    if (fdatasync(fd_.get()) != 0) return ErrnoStatus("flush", path_);
    return Status::Ok();
  }

  void DropCache() override { posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED); }

  Status Truncate(uint64_t size_bytes) override {
    if (ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) {
      return ErrnoStatus("truncate", path_);
    }
    return Status::Ok();
  }

  Result<uint64_t> Size() override {
    struct stat st;
    if (fstat(fd_.get(), &st) != 0) return ErrnoStatus("stat", path_);
    return static_cast<uint64_t>(st.st_size);
  }

  int native_fd() const override { return fd_.get(); }
  const std::string& path() const override { return path_; }

 private:
  static size_t Chunk(uint64_t size) { return std::min(size, kIoSizeBytesMax); }
  // EINVAL is what file systems without RWF_DSYNC gave before EOPNOTSUPP; the plain write that
  // follows reports an argument that is really wrong.
  static bool IsUnsupported(int error_number) {
    return error_number == EOPNOTSUPP || error_number == ENOSYS || error_number == EINVAL;
  }
  Status Failed(const char* operation, uint64_t offset) const {
    return Status::FromErrno(
        errno, std::string(operation) + " " + path_ + " at offset " + std::to_string(offset));
  }

  // The device wants a larger alignment than the callers give. True: writes take the page cache
  // now.
  bool LeaveDirect() {
    if (!direct_.exchange(false)) return false;
    const int flags = fcntl(fd_.get(), F_GETFL);
    return flags >= 0 && fcntl(fd_.get(), F_SETFL, flags & ~O_DIRECT) == 0;
  }

  // A short write is continued once more: the next call names the reason (disk full, quota).
  template <typename WriteCall>
  Status WriteLoop(uint64_t offset, Bytes bytes, WriteCall write_call) {
    uint64_t done = 0;
    while (done < bytes.size()) {
      iovec part = {const_cast<uint8_t*>(bytes.data() + done), Chunk(bytes.size() - done)};
      ssize_t n = write_call(part, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EINVAL && LeaveDirect()) continue;
      if (n == 0) errno = EIO;
      if (n <= 0) return Failed("write", offset + done);
      done += static_cast<uint64_t>(n);
    }
    return Status::Ok();
  }

  const FileDescriptor fd_;
  const std::string path_;
  std::atomic<bool> direct_;
  std::atomic<bool> dsync_unsupported_ = false;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(FileDescriptor fd) : fd_(std::move(fd)) {}

 private:
  FileDescriptor fd_;  // closing it releases the lock
};

// Field 22 of /proc/self/stat, in clock ticks since boot; tells a reused pid from its predecessor.
std::string ProcessStartTicks() {
  FileDescriptor fd = OpenRetrying("/proc/self/stat", O_RDONLY);
  char text[1024];
  ssize_t n = fd.valid() ? read(fd.get(), text, sizeof text) : 0;
  std::string_view stat(text, n > 0 ? static_cast<size_t>(n) : 0);
  size_t position = stat.rfind(')');  // ends field 2, the command's name, which may hold anything
  for (int field = 2; field < 22 && position != std::string_view::npos; ++field) {
    position = stat.find(' ', position + 1);
  }
  if (position == std::string_view::npos) return "unknown";
  stat.remove_prefix(position + 1);
  return std::string(stat.substr(0, stat.find(' ')));
}

// Information for people; nobody decides anything by it, so a failure does not matter.
void WriteOwner(int fd) {
  std::string owner =
      "pid " + std::to_string(getpid()) + " start_ticks " + ProcessStartTicks() + "\n";
  if (ftruncate(fd, 0) != 0) return;
  [[maybe_unused]] ssize_t n = pwrite(fd, owner.data(), owner.size(), 0);
}

std::string ReadOwner(int fd) {
  char text[64];
  ssize_t n = pread(fd, text, sizeof text, 0);
  std::string_view owner(text, n > 0 ? static_cast<size_t>(n) : 0);
  if (!owner.starts_with("pid ")) return "";
  owner.remove_prefix(4);
  owner = owner.substr(0, owner.find_first_not_of("0123456789"));
  return " (pid " + std::string(owner) + ")";
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    ENGRAM_TRY(CheckPath(path));
    // Without O_NONBLOCK opening a FIFO would wait for a writer; regular files ignore it.
    FileDescriptor fd = OpenRetrying(path, OpenFlags(mode) | O_NONBLOCK);
    if (!fd.valid() && errno == EINVAL && mode == OpenMode::kReadWriteDirect) {
      return Open(path, OpenMode::kReadWrite);  // as some file systems say that they have no such
    }
    if (!fd.valid()) return ErrnoStatus("open", path);
    struct stat st;
    if (fstat(fd.get(), &st) != 0) return ErrnoStatus("stat", path);
    if (!S_ISREG(st.st_mode)) {
      return Status::InvalidArgument("open " + path + ": not a regular file");
    }
    return std::make_unique<PosixFile>(std::move(fd), path, mode == OpenMode::kReadWriteDirect);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    ENGRAM_TRY(CheckPath(from));
    ENGRAM_TRY(CheckPath(to));
    if (rename(from.c_str(), to.c_str()) == 0) return Status::Ok();
    return Status::FromErrno(errno, "rename " + from + " to " + to);
  }

  Status Unlink(const std::string& path) override {
    ENGRAM_TRY(CheckPath(path));
    return unlink(path.c_str()) == 0 ? Status::Ok() : ErrnoStatus("remove", path);
  }

  Status CreateDirectory(const std::string& path) override {
    ENGRAM_TRY(CheckPath(path));
    if (mkdir(path.c_str(), kDirectoryMode) == 0) return Status::Ok();
    if (errno != EEXIST) return ErrnoStatus("create directory", path);
    ENGRAM_ASSIGN_OR_RETURN(FileInfo info, Stat(path));
    if (info.is_directory) return Status::Ok();
    return Status::FromErrno(ENOTDIR, "create directory " + path);
  }

  Status RemoveDirectory(const std::string& path) override {
    ENGRAM_TRY(CheckPath(path));
    return rmdir(path.c_str()) == 0 ? Status::Ok() : ErrnoStatus("remove directory", path);
  }

  Status SyncDirectory(const std::string& path) override {
    ENGRAM_TRY(CheckPath(path));
    FileDescriptor fd = OpenRetrying(path, O_RDONLY | O_DIRECTORY);
    if (!fd.valid()) return ErrnoStatus("open directory", path);
    return fsync(fd.get()) == 0 ? Status::Ok() : ErrnoStatus("flush directory", path);
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    ENGRAM_TRY(CheckPath(path));
    std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
    if (!directory) return ErrnoStatus("list", path);
    std::vector<DirectoryEntry> entries;
    while (true) {
      errno = 0;
      const dirent* entry = readdir(directory.get());
      if (entry == nullptr && errno != 0) return ErrnoStatus("list", path);
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      bool is_directory = EntryIsDirectory(dirfd(directory.get()), *entry);
      entries.push_back({std::move(name), is_directory});
    }
    std::sort(entries.begin(), entries.end(),
              [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
    return entries;
  }

  Result<FileInfo> Stat(const std::string& path) override {
    ENGRAM_TRY(CheckPath(path));
    struct stat st;
    if (stat(path.c_str(), &st) != 0) return ErrnoStatus("stat", path);
    FileInfo info;
    info.is_directory = S_ISDIR(st.st_mode);
    info.is_regular = S_ISREG(st.st_mode);
    info.size_bytes = static_cast<uint64_t>(st.st_size);
    info.device = st.st_dev;
    info.inode = st.st_ino;
    info.mode = st.st_mode & 07777;
    constexpr int64_t kNanosPerSecond = 1'000'000'000;
    info.modified_ns = st.st_mtim.tv_sec * kNanosPerSecond + st.st_mtim.tv_nsec;
    info.changed_ns = st.st_ctim.tv_sec * kNanosPerSecond + st.st_ctim.tv_nsec;
    return info;
  }

  Result<DiskSpace> Space(const std::string& path) override {
    ENGRAM_TRY(CheckPath(path));
    struct statvfs st;
    if (statvfs(path.c_str(), &st) != 0) return ErrnoStatus("ask for the free space of", path);
    return DiskSpace{st.f_frsize * st.f_blocks, st.f_frsize * st.f_bavail};
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path, bool shared) override {
    ENGRAM_TRY(CheckPath(path));
    // A shared lock only reads; it creates the file when nobody has done so yet.
    FileDescriptor fd = OpenRetrying(path, shared ? O_RDONLY : O_RDWR | O_CREAT);
    if (!fd.valid() && shared && errno == ENOENT) {
      FileDescriptor created = OpenRetrying(path, O_RDWR | O_CREAT);
      if (!created.valid() && errno == EROFS) {  // nobody can write here: nothing to wait for
        return std::unique_ptr<FileLock>(new PosixFileLock(std::move(created)));
      }
      return LockOpened(std::move(created), path, shared);
    }
    return LockOpened(std::move(fd), path, shared);
  }

 private:
  static bool EntryIsDirectory(int directory_fd, const dirent& entry) {
    if (entry.d_type != DT_UNKNOWN && entry.d_type != DT_LNK) return entry.d_type == DT_DIR;
    struct stat st;
    return fstatat(directory_fd, entry.d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
  }

  static Result<std::unique_ptr<FileLock>> LockOpened(FileDescriptor fd, const std::string& path,
                                                      bool shared) {
    if (!fd.valid()) return ErrnoStatus("open lock", path);
    struct flock request = {};
    request.l_type = shared ? F_RDLCK : F_WRLCK;
    request.l_whence = SEEK_SET;
    if (fcntl(fd.get(), F_OFD_SETLK, &request) != 0) {
      if (errno != EAGAIN && errno != EACCES) return ErrnoStatus("lock", path);
      return Status::Busy("lock " + path + ": another process holds it" + ReadOwner(fd.get()),
                          "stop that process, or let the running server do the work");
    }
    if (!shared) WriteOwner(fd.get());
    return std::unique_ptr<FileLock>(new PosixFileLock(std::move(fd)));
  }
};

}  // namespace

FileSystem& FileSystem::Posix() {
  static PosixFileSystem file_system;
  return file_system;
}

}  // namespace engram
