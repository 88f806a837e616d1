#include "tests/testing/lmdb_recorder.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <mutex>

#include "base/check.h"

namespace engram::testing {
namespace {

struct RecordedFile {
  SimDisk* disk = nullptr;
  SimDisk::InodeId inode = 0;
  uint64_t life = 0;
  bool durable_writes = false;  // opened with O_DSYNC
  std::string path;
};

constexpr int kDescriptorCountMax = 4096;

std::mutex g_mutex;
std::vector<SimFileSystem*> g_roots;                               // guarded by g_mutex
std::array<RecordedFile, kDescriptorCountMax> g_files;             // guarded by g_mutex
std::array<std::atomic<bool>, kDescriptorCountMax> g_is_recorded;  // fast test without the mutex

bool IsRecorded(int fd) {
  return fd >= 0 && fd < kDescriptorCountMax &&
         g_is_recorded[static_cast<size_t>(fd)].load(std::memory_order_acquire);
}

RecordedFile FileOf(int fd) {
  std::lock_guard lock(g_mutex);
  return g_files[static_cast<size_t>(fd)];
}

bool Dead(const RecordedFile& file) {
  return file.disk->crashed() || file.disk->life() != file.life;
}

// The first caller outside liblmdb, so that every call of LMDB is a flush of its own.
const void* CallSiteOutsideLmdb() {
  void* frames[16];
  const int count = backtrace(frames, 16);
  Dl_info program;
  // frames[0] is here, [1] the flush, [2] the interposed function, [3] liblmdb.
  if (count < 4 || dladdr(__builtin_return_address(0), &program) == 0) return nullptr;
  bool seen_library = false;
  for (int i = 1; i < count; ++i) {
    Dl_info info;
    if (dladdr(frames[i], &info) == 0) return nullptr;
    const bool in_program = info.dli_fbase == program.dli_fbase;
    if (in_program && seen_library) return frames[i];
    seen_library = seen_library || !in_program;
  }
  return nullptr;
}

SimDisk::Flush FlushOf(const RecordedFile& file) {
  return {"lmdb sync", file.path, CallSiteOutsideLmdb()};
}

// Returns what the system call would: the count that was written, or -1 with errno.
ssize_t RecordWrite(int fd, uint64_t offset, Bytes bytes) {
  const RecordedFile file = FileOf(fd);
  errno = EIO;
  if (Dead(file)) return -1;
  SimDisk::Outcome outcome = file.durable_writes
                                 ? file.disk->WriteDurable(file.inode, offset, bytes, FlushOf(file))
                                 : file.disk->Write(file.inode, offset, bytes);
  const bool fails = outcome.error_number != 0 && outcome.size_bytes == 0;
  if (outcome.size_bytes > 0) {
    long done = syscall(SYS_pwrite64, fd, bytes.data(), outcome.size_bytes, offset);
    ENGRAM_CHECK(done == static_cast<long>(outcome.size_bytes));
  }
  errno = outcome.error_number;
  const bool crashed_now = file.disk->crashed();
  if (fails || crashed_now || outcome.error_number == EIO) return -1;
  return static_cast<ssize_t>(outcome.size_bytes);  // short when the disk is full
}

int RecordFlush(int fd) {
  const RecordedFile file = FileOf(fd);
  errno = EIO;
  if (Dead(file)) return -1;
  errno = file.disk->Sync(file.inode, FlushOf(file));
  return errno == 0 ? 0 : -1;
}

bool IsLockFile(std::string_view path) { return path.ends_with("/lock.mdb"); }

// Opens the file on the disk too when it lies below a recorded root. Returns an errno value.
int RecordOpen(const char* path, int flags, RecordedFile* file) {
  std::lock_guard lock(g_mutex);
  for (SimFileSystem* root : g_roots) {
    file->path = root->Relative(path);
    if (file->path.empty() || IsLockFile(path)) continue;
    OpenMode mode = OpenMode::kReadOnly;
    if ((flags & O_ACCMODE) != O_RDONLY) mode = OpenMode::kReadWrite;
    if ((flags & O_CREAT) != 0) mode = OpenMode::kCreate;
    if ((flags & O_EXCL) != 0) mode = OpenMode::kCreateExclusive;
    if (int error_number = root->disk().Open(file->path, mode, &file->inode)) return error_number;
    file->disk = &root->disk();
    file->life = root->disk().life();
    file->durable_writes = (flags & O_DSYNC) != 0;
    root->disk().MarkExternal(file->inode);
    return 0;
  }
  return 0;
}

int OpenRecorded(const char* path, int flags, mode_t mode) {
  RecordedFile file;
  const bool is_directory = (flags & O_DIRECTORY) != 0;
  if (!is_directory && (errno = RecordOpen(path, flags, &file)) != 0) return -1;
  const int real_flags = file.disk != nullptr ? flags & ~(O_DSYNC | O_SYNC | O_DIRECT) : flags;
  const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, real_flags, mode));
  if (fd >= 0 && file.disk != nullptr) {
    ENGRAM_CHECK(fd < kDescriptorCountMax);
    std::lock_guard lock(g_mutex);
    g_files[static_cast<size_t>(fd)] = std::move(file);
    g_is_recorded[static_cast<size_t>(fd)].store(true, std::memory_order_release);
  }
  return fd;
}

void Forget(int fd) {
  if (!IsRecorded(fd)) return;
  std::lock_guard lock(g_mutex);
  g_is_recorded[static_cast<size_t>(fd)].store(false, std::memory_order_release);
  g_files[static_cast<size_t>(fd)] = {};
}

ssize_t RecordSequentialWrite(int fd, const iovec* parts, int count) {
  std::string joined;
  for (int i = 0; i < count; ++i) {
    joined.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  }
  const long position = syscall(SYS_lseek, fd, 0, SEEK_CUR);
  ENGRAM_CHECK(position >= 0);
  const ssize_t written = RecordWrite(fd, static_cast<uint64_t>(position), AsBytes(joined));
  const int error_number = errno;
  if (written > 0) syscall(SYS_lseek, fd, position + written, SEEK_SET);
  errno = error_number;
  return written;
}

}  // namespace

LmdbRecorder::LmdbRecorder(SimFileSystem& fs) : fs_(fs) {
  std::lock_guard lock(g_mutex);
  g_roots.push_back(&fs);
}

LmdbRecorder::~LmdbRecorder() {
  std::lock_guard lock(g_mutex);
  std::erase(g_roots, &fs_);
}

}  // namespace engram::testing

// The C functions. Not noinline by chance: each is called from liblmdb through the dynamic linker.
#define ENGRAM_INTERPOSED extern "C" __attribute__((visibility("default")))

using engram::testing::IsRecorded;
using engram::testing::RecordFlush;
using engram::testing::RecordSequentialWrite;
using engram::testing::RecordWrite;

ENGRAM_INTERPOSED int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return engram::testing::OpenRecorded(path, flags, mode);
}

ENGRAM_INTERPOSED int close(int fd) {
  engram::testing::Forget(fd);
  return static_cast<int>(syscall(SYS_close, fd));
}

ENGRAM_INTERPOSED ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  if (!IsRecorded(fd)) return syscall(SYS_pwrite64, fd, data, size, offset);
  return RecordWrite(fd, static_cast<uint64_t>(offset), {static_cast<const uint8_t*>(data), size});
}

ENGRAM_INTERPOSED ssize_t write(int fd, const void* data, size_t size) {
  if (!IsRecorded(fd)) return syscall(SYS_write, fd, data, size);
  const iovec part = {const_cast<void*>(data), size};
  return RecordSequentialWrite(fd, &part, 1);
}

ENGRAM_INTERPOSED ssize_t writev(int fd, const iovec* parts, int count) {
  if (!IsRecorded(fd)) return syscall(SYS_writev, fd, parts, count);
  return RecordSequentialWrite(fd, parts, count);
}

ENGRAM_INTERPOSED int fsync(int fd) {
  return IsRecorded(fd) ? RecordFlush(fd) : static_cast<int>(syscall(SYS_fsync, fd));
}

ENGRAM_INTERPOSED int fdatasync(int fd) {
  return IsRecorded(fd) ? RecordFlush(fd) : static_cast<int>(syscall(SYS_fdatasync, fd));
}

ENGRAM_INTERPOSED int ftruncate(int fd, off_t size) noexcept {
  if (IsRecorded(fd)) {
    const engram::testing::RecordedFile file = engram::testing::FileOf(fd);
    errno = engram::testing::Dead(file)
                ? EIO
                : file.disk->Truncate(file.inode, static_cast<uint64_t>(size));
    if (errno != 0) return -1;
  }
  return static_cast<int>(syscall(SYS_ftruncate, fd, size));
}
