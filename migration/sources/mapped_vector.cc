#include "migration/sources/mapped_vector.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "base/ids.h"

namespace engram::migration {
namespace {

constexpr uint64_t kGranularityBytes = 1u << 20;

}  // namespace

MappedBytes::~MappedBytes() {
  if (data_ != nullptr) munmap(data_, capacity_bytes_);
}

Status MappedBytes::Create(FileSystem& fs) {
  const char* wanted = std::getenv("TMPDIR");
  directory_ = wanted != nullptr && *wanted != 0 ? wanted : "/tmp";
  ENGRAM_ASSIGN_OR_RETURN(Uuid unique, Uuid::Random());
  std::string path = JoinPath(directory_, "index-" + unique.ToString() + ".tmp");
  Result<std::unique_ptr<File>> file = fs.Open(path, OpenMode::kCreateExclusive);
  if (!file.ok()) {
    return file.status().WithHint("the index of the source needs a writable directory: set TMPDIR");
  }
  ENGRAM_TRY(fs.Unlink(path));
  if ((*file)->native_fd() >= 0) file_ = std::move(*file);
  return Status::Ok();
}

Status MappedBytes::Reserve(uint64_t size_bytes) {
  if (size_bytes <= capacity_bytes_) return Status::Ok();
  size_bytes = (size_bytes + kGranularityBytes - 1) / kGranularityBytes * kGranularityBytes;
  if (file_ != nullptr) {
    // Blocks are reserved: a full disk must be an error here, not a signal at the first store.
    int error = posix_fallocate(file_->native_fd(), static_cast<off_t>(capacity_bytes_),
                                static_cast<off_t>(size_bytes - capacity_bytes_));
    if (error != 0) {
      return Status::FromErrno(error, "grow the index of the source in " + directory_ + " to " +
                                          std::to_string(size_bytes) + " bytes")
          .WithHint("free space there, or set TMPDIR to a directory with more room");
    }
  }
  return Map(size_bytes);
}

Status MappedBytes::Map(uint64_t size_bytes) {
  void* mapped = nullptr;
  if (data_ != nullptr) {
    mapped = mremap(data_, capacity_bytes_, size_bytes, MREMAP_MAYMOVE);
  } else if (file_ != nullptr) {
    mapped = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_->native_fd(), 0);
  } else {
    mapped = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (mapped == MAP_FAILED) return Status::FromErrno(errno, "map the index of the source");
  data_ = static_cast<uint8_t*>(mapped);
  capacity_bytes_ = size_bytes;
  return Status::Ok();
}

}  // namespace engram::migration
